"""A driver behind a Grid of which a part is lost in the middle of a test.

What is lost is none of the suite's business: it says when (the file ``strike``), and waits until
it was told that it has happened (the file ``struck``). That is once in a run.
"""

import os
import shutil
import time

import lab
import pytest
from selenium import webdriver

#: Seconds after which nobody seems to be there who could strike.
STRIKE_LIMIT_S = 60.0


@pytest.fixture(scope=lambda fixture_name, config: os.environ.get("SCOPE", "session"))
def driver():
    options = webdriver.ChromeOptions()
    for argument in lab.ARGUMENTS:
        options.add_argument(argument)
    options.binary_location = shutil.which("chromium")
    with lab.logged("driver"):
        driver = webdriver.Remote(os.environ["GRID"], options=options)
        yield driver
        driver.quit()


@pytest.fixture
def outage():
    """A function by which a test says its number, and during which the part may be lost."""
    return strike


def strike(number):
    mark = lab.HERE / "strike"
    if number != int(os.environ.get("STRIKE", "0")) or mark.exists():
        return
    mark.touch()
    deadline = time.monotonic() + STRIKE_LIMIT_S
    while not (lab.HERE / "struck").exists():
        if time.monotonic() > deadline:
            raise RuntimeError("nobody has struck")
        time.sleep(0.01)


def pytest_collection_modifyitems(items):
    """Let those that need a browser, and those that do not, take turns."""
    items.sort(key=lambda item: item.callspec.params["number"])
