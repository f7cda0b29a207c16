"""Price arithmetic, in whole cents.

Invariant: ``total == subtotal - discount + shipping``, and no amount is negative.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shopapp.catalogue import Product

SHIPPING = 490
FREE_SHIPPING_FROM = 5000
DISCOUNT_PERCENT = {"WELCOME10": 10, "HALF": 50}


@dataclass(frozen=True)
class Line:
    """A product in a cart, ``quantity`` times (1 or more)."""

    product: Product
    quantity: int

    @property
    def total(self) -> int:
        return self.product.price * self.quantity


@dataclass(frozen=True)
class Totals:
    """What a cart costs, in cents."""

    subtotal: int
    discount: int
    shipping: int

    @property
    def total(self) -> int:
        return self.subtotal - self.discount + self.shipping


def price(lines: Sequence[Line], code: str | None = None) -> Totals:
    """Return what ``lines`` cost with the discount ``code``; an unknown code gives nothing."""
    subtotal = sum(line.total for line in lines)
    # PLANTED BUG. The discount belongs on the subtotal, but it is taken from the unit prices: the
    # quantities are forgotten. One test finds it, every time, and no retry may ever hide it:
    # test_cart.py::test_discount_counts_every_piece.
    percent = DISCOUNT_PERCENT.get(code or "", 0)
    discount = percent_of(sum(line.product.price for line in lines), percent)
    free = not lines or subtotal >= FREE_SHIPPING_FROM
    return Totals(subtotal, discount, 0 if free else SHIPPING)


def percent_of(amount: int, percent: int) -> int:
    """Return ``percent`` of ``amount``, half a cent rounded up."""
    return (amount * percent + 50) // 100


def money(cents: int) -> str:
    """Return an amount the way the shop prints it."""
    return f"€{cents // 100}.{cents % 100:02}"
