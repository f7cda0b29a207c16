"""The account, for somebody who is logged in."""

from __future__ import annotations

import pytest
from pages import AccountPage, CheckoutPage


def test_header_offers_to_log_out(account_page: AccountPage) -> None:
    assert account_page.is_logged_in


@pytest.mark.demo_fault("browser_killed")
def test_account_shows_who_is_logged_in(account_page: AccountPage) -> None:
    account_page.open()
    assert account_page.text("#user") == "guest@example.org"


def test_account_survives_a_visit_to_the_shop(account_page: AccountPage) -> None:
    account_page.open("/")
    account_page.open()
    assert account_page.heading == "Your account"


def test_account_lists_a_new_order(checkout_page: CheckoutPage) -> None:
    checkout_page.order()
    number = checkout_page.text("#number")
    checkout_page.open("/account")
    assert number in checkout_page.text("#orders")
