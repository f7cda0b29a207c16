"""Price arithmetic: no browser is needed here."""

from __future__ import annotations

import pytest
from shopapp.catalogue import Product
from shopapp.pricing import Line, money, percent_of, price

TEA = Product("tea", "Tea", 1000, "")


@pytest.mark.parametrize(
    ("cents", "text"), [(0, "€0.00"), (5, "€0.05"), (123456, "€1234.56")], ids=str
)
def test_money_has_two_decimals(cents: int, text: str) -> None:
    assert money(cents) == text


def test_half_a_cent_is_rounded_up() -> None:
    assert percent_of(25, 10) == 3


def test_nothing_costs_nothing() -> None:
    assert price([]).total == 0


def test_shipping_is_added_to_small_orders() -> None:
    assert price([Line(TEA, 2)]).total == 2490


def test_shipping_is_free_from_fifty_euros() -> None:
    assert price([Line(TEA, 5)]).total == 5000
