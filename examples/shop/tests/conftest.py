"""The fixtures of an ordinary Selenium suite: nothing here knows of pytest-resilience.

Invariant: every test begins with an empty cart, so the tests can run in any order.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from browser import launch
from faults import DemoFaults
from pages import AccountPage, CartPage, CheckoutPage, LoginPage, Page, PicksPage, ProductPage
from selenium.webdriver.remote.webdriver import WebDriver
from shopapp.server import serve


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--with-faults",
        action="store_true",
        help="kill browsers and drivers for real, once in each test marked demo_fault",
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--with-faults"):
        config.pluginmanager.register(DemoFaults(config))


@pytest.fixture(scope="session")
def shop_url() -> Iterator[str]:
    """The address of a shop that is open for the whole session."""
    with serve() as url:
        yield url


@pytest.fixture(scope="class")
def shop_on_class(request: pytest.FixtureRequest, shop_url: str) -> None:
    """Give a ``unittest.TestCase`` the shop's address."""
    request.cls.shop_url = shop_url


@pytest.fixture(scope="session")
def driver() -> Iterator[WebDriver]:
    """One browser for the whole session."""
    driver = launch()
    yield driver
    driver.quit()


@pytest.fixture
def newcomer(driver: WebDriver, shop_url: str) -> WebDriver:
    """The browser of somebody the shop has never seen."""
    driver.get(shop_url)
    driver.delete_all_cookies()
    return driver


@pytest.fixture(scope="module")
def logged_in(driver: WebDriver, shop_url: str) -> WebDriver:
    """The browser of somebody who has logged in, for all tests of a module."""
    driver.get(shop_url)
    driver.delete_all_cookies()
    LoginPage(driver, shop_url).open().log_in()
    return driver


@pytest.fixture
def home_page(newcomer: WebDriver, shop_url: str) -> Page:
    return Page(newcomer, shop_url).open()


@pytest.fixture
def product_page(newcomer: WebDriver, shop_url: str) -> ProductPage:
    return ProductPage(newcomer, shop_url).show("sencha")


@pytest.fixture
def cart_page(newcomer: WebDriver, shop_url: str) -> CartPage:
    return CartPage(newcomer, shop_url).open()


@pytest.fixture
def login_page(newcomer: WebDriver, shop_url: str) -> LoginPage:
    return LoginPage(newcomer, shop_url).open()


@pytest.fixture
def picks_page(newcomer: WebDriver, shop_url: str) -> PicksPage:
    return PicksPage(newcomer, shop_url).open()


@pytest.fixture
def account_page(logged_in: WebDriver, shop_url: str) -> AccountPage:
    return AccountPage(logged_in, shop_url).open()


@pytest.fixture
def checkout_page(logged_in: WebDriver, shop_url: str) -> CheckoutPage:
    """The checkout, with one packet of sencha in the cart."""
    CartPage(logged_in, shop_url).open().clear().fill("sencha")
    return CheckoutPage(logged_in, shop_url).open()
