"""The checkout, for somebody who is logged in."""

from __future__ import annotations

import pytest
from pages import CartPage, CheckoutPage


@pytest.mark.demo_fault("browser_killed", at="logged_in")
def test_checkout_shows_the_total(checkout_page: CheckoutPage) -> None:
    assert checkout_page.text("main form button") == "Order for €13.80"


@pytest.mark.parametrize("field", ["name", "street", "postcode"])
def test_every_field_is_needed(checkout_page: CheckoutPage, field: str) -> None:
    checkout_page.order(**{field: ""})
    assert [error.get_attribute("id") for error in checkout_page.all(".error")] == [
        f"{field}-error"
    ]


def test_postcode_must_be_digits(checkout_page: CheckoutPage) -> None:
    checkout_page.order(postcode="12AB")
    assert checkout_page.text("#postcode-error") == "A postcode has four or five digits."


def test_form_keeps_what_was_typed(checkout_page: CheckoutPage) -> None:
    checkout_page.order(street="Kettle Road 7", postcode="")
    assert checkout_page.one("[name=street]").get_attribute("value") == "Kettle Road 7"


@pytest.mark.demo_fault("tab_crashed", at="call")
def test_order_is_confirmed(checkout_page: CheckoutPage) -> None:
    checkout_page.order(name="A guest")
    assert checkout_page.heading == "Thank you, A guest"
    assert checkout_page.text("#total") == "€13.80"


def test_cart_is_empty_after_the_order(checkout_page: CheckoutPage) -> None:
    checkout_page.order()
    assert checkout_page.count == 0


def test_empty_cart_cannot_be_ordered(checkout_page: CheckoutPage) -> None:
    CartPage(checkout_page.driver, checkout_page.url).open().clear()
    checkout_page.open().order()
    assert checkout_page.text("#cart-error") == "Your cart is empty."
