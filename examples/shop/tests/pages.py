"""Page objects: what a visitor can see and do on each page of the shop.

Invariant: a method returns when the page has settled, so no test has to wait on its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support import expected_conditions as expect
from selenium.webdriver.support.select import Select
from selenium.webdriver.support.wait import WebDriverWait

if TYPE_CHECKING:
    from typing_extensions import Self

PATIENCE = 10.0  # seconds

# When the page began, once it has come to its end. Asking an element of the old page
# instead would race with its removal.
_BIRTH = "return document.readyState === 'complete' ? performance.timeOrigin : null"


class Page:
    """Any page of the shop; ``url`` is the shop's address."""

    path = "/"

    def __init__(self, driver: WebDriver, url: str) -> None:
        self.driver = driver
        self.url = url

    def open(self, path: str | None = None) -> Self:
        self.driver.get(self.url + (path or self.path))
        return self

    @property
    def heading(self) -> str:
        return self.text("h1")

    @property
    def count(self) -> int:
        """Pieces in the cart, as the header shows them."""
        return int(self.text("#count"))

    @property
    def is_logged_in(self) -> bool:
        return bool(self.all("#logout"))

    @property
    def product_names(self) -> list[str]:
        return [link.text for link in self.all(".products a")]

    def search(self, query: str) -> None:
        field = self.one("[name=q]")
        field.clear()
        field.send_keys(query)
        self.leave(field.submit)

    def log_out(self) -> None:
        self.leave(self.one("#logout").click)

    def one(self, css: str) -> WebElement:
        """Return the element as soon as there is one."""
        wait = WebDriverWait(self.driver, PATIENCE)
        return wait.until(expect.presence_of_element_located((By.CSS_SELECTOR, css)))

    def all(self, css: str) -> list[WebElement]:
        """Return the elements that are there now."""
        return self.driver.find_elements(By.CSS_SELECTOR, css)

    def text(self, css: str) -> str:
        return self.one(css).text

    def settle(self) -> None:
        """Wait until no part of the page says that it is being updated."""
        wait = WebDriverWait(self.driver, PATIENCE, poll_frequency=0.05)
        wait.until_not(lambda _: self.all("[aria-busy=true]"))

    def leave(self, action: Callable[[], None]) -> None:
        """Do what leads to another page, and wait until that page is there."""
        birth = self.driver.execute_script(_BIRTH)
        action()
        wait = WebDriverWait(self.driver, PATIENCE, poll_frequency=0.05)
        wait.until(lambda driver: driver.execute_script(_BIRTH) not in (None, birth))


class ProductPage(Page):
    def show(self, slug: str) -> Self:
        return self.open(f"/products/{slug}")

    def add(self) -> None:
        self.one("#add").click()
        self.settle()


class CartPage(Page):
    path = "/cart"

    def fill(self, *slugs: str) -> Self:
        """Put one piece of each product into the cart and look at it."""
        for slug in slugs:
            ProductPage(self.driver, self.url).show(slug).add()
        return self.open()

    def clear(self) -> Self:
        """Take everything out of the cart."""
        for slug in self.slugs:
            self.remove(slug)
        return self

    @property
    def slugs(self) -> list[str]:
        return [row.get_attribute("data-slug") or "" for row in self.all("#cart tr")]

    @property
    def message(self) -> str:
        return self.text("#message")

    def amount(self, name: str) -> str:
        """Return the amount called subtotal, discount, shipping or total."""
        return self.text(f"[data-total={name}]")

    def set_quantity(self, slug: str, quantity: int) -> None:
        Select(self.one(f"[data-slug={slug}] select")).select_by_visible_text(str(quantity))
        self.settle()

    def remove(self, slug: str) -> None:
        self.one(f"[data-slug={slug}] .remove").click()
        self.settle()

    def apply_code(self, code: str) -> None:
        field = self.one("[name=code]")
        field.clear()
        field.send_keys(code)
        self.one("#code button").click()
        self.settle()


class LoginPage(Page):
    path = "/login"

    def log_in(self, email: str = "guest@example.org", password: str = "oolong") -> None:
        self.one("[name=email]").send_keys(email)
        self.one("[name=password]").send_keys(password)
        self.leave(self.one("main form button").click)


class AccountPage(Page):
    path = "/account"


class CheckoutPage(Page):
    path = "/checkout"

    def order(
        self, name: str = "A guest", street: str = "Tea Lane 1", postcode: str = "1234"
    ) -> None:
        for field, value in {"name": name, "street": street, "postcode": postcode}.items():
            element = self.one(f"[name={field}]")
            element.clear()
            element.send_keys(value)
        self.leave(self.one("main form button").click)


class PicksPage(Page):
    path = "/picks"

    @property
    def picks(self) -> list[str]:
        """The names that the page loads on its own, once they are there."""
        self.settle()
        return [item.text for item in self.all("#picks li")]
