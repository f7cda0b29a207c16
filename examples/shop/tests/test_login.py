"""Logging in and out."""

from __future__ import annotations

import pytest
from pages import CartPage, LoginPage


def test_guest_can_log_in(login_page: LoginPage) -> None:
    login_page.log_in()
    assert login_page.heading == "Your account"


@pytest.mark.parametrize(
    ("email", "password"),
    [("guest@example.org", "coffee"), ("stranger@example.org", "oolong")],
    ids=["password", "email"],
)
def test_wrong_credentials_are_refused(login_page: LoginPage, email: str, password: str) -> None:
    login_page.log_in(email, password)
    assert login_page.text(".error") == "Wrong e-mail or password."
    assert not login_page.is_logged_in


def test_guest_can_log_out(login_page: LoginPage) -> None:
    login_page.log_in()
    login_page.log_out()
    assert not login_page.is_logged_in


@pytest.mark.parametrize("path", ["/account", "/checkout"])
def test_private_pages_ask_to_log_in(login_page: LoginPage, path: str) -> None:
    assert login_page.open(path).heading == "Log in"


def test_cart_survives_logging_in(cart_page: CartPage) -> None:
    cart_page.fill("honey")
    LoginPage(cart_page.driver, cart_page.url).open().log_in()
    assert cart_page.open().slugs == ["honey"]
