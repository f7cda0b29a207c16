"""Ten tests on a browser that never starts."""

import os

import lab
import pytest


@pytest.fixture(scope="session")
def driver():
    lab.log("set-up")
    with lab.browser("driver", binary=os.environ["BINARY"]) as driver:
        yield driver


@pytest.mark.parametrize("number", range(10))
def test_shop(driver, number):
    lab.visit(driver)


def test_without_browser():
    pass
