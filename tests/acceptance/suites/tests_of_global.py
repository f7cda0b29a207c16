"""One test for each moment at which a fault may strike; importing makes the browser."""

import lab
import pytest

driver = lab.launch()
#: Others keep the very object.
elsewhere = {"driver": driver, "switch": driver.switch_to}
lab.log("+driver")


@pytest.fixture
def account():
    with lab.account(driver):
        yield


@pytest.fixture
def page(account):
    with lab.page(driver):
        yield


def test_before(account):
    lab.visit(driver)


def test_setup(page):
    assert driver.title == "shop"


def test_between(account):
    lab.visit(driver)
    lab.strike("call", driver)
    assert driver.title == "shop"


def test_during(account):
    lab.work(driver)


def test_neighbour(account):
    lab.visit(driver)


def test_teardown(account):
    lab.visit(driver)


def test_after(account):
    lab.visit(elsewhere["driver"])
    elsewhere["switch"].default_content()
