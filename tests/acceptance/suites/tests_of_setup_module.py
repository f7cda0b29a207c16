"""One test for each moment at which a fault may strike; ``setup_module`` makes the browser."""

import lab
import pytest

driver = None


def setup_module(module):
    module.driver = lab.launch()
    lab.log("+driver")


def teardown_module(module):
    lab.log("-driver")
    lab.good_bye(module.driver)


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
