"""One browser for all, made when it is first needed, and kept where no fixture sees it."""

import lab
import pytest

kept = []


def get_driver():
    if not kept:
        kept.append(lab.launch())
    return kept[0]


@pytest.fixture(scope="session")
def driver():
    with lab.logged("driver"):
        yield get_driver()


def test_before(driver):
    lab.visit(driver)


def test_first(driver):
    lab.visit(driver)
    lab.strike("call", driver)
    assert driver.title == "shop"


def test_second(driver):
    lab.visit(driver)
    lab.strike("call", driver)
    assert driver.title == "shop"


def test_after(driver):
    lab.visit(driver)
    assert driver is kept[0]
