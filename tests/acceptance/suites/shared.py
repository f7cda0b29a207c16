import pytest
from lab import browser, kill_browser, log, logged, visit


@pytest.fixture(scope="session")
def driver():
    with browser() as driver:
        yield driver


@pytest.fixture(scope="session")
def database():
    with logged("database"):
        yield


@pytest.fixture(scope="module")
def account(driver, database):
    visit(driver)
    with logged("account"):
        yield driver


def test_before(account):
    assert account.title == "shop"


def test_leaves_a_dead_browser_behind(account):
    assert account.title == "shop"
    kill_browser(account)


def test_next(account):
    log("ran")
    assert account.title == "shop"


def test_needs_no_browser():
    pass


def test_after(account):
    assert account.title == "shop"
