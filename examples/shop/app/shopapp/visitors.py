"""What the shop remembers of each visitor, in memory.

Invariant: a visitor's state is reachable through that visitor's signed cookie only.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from flask import current_app, session

from shopapp.catalogue import find
from shopapp.pricing import Line, Totals, price


@dataclass(frozen=True)
class Order:
    """A cart that was paid for."""

    number: str
    recipient: str
    total: int


@dataclass
class Visitor:
    """One browser's cart, account and orders."""

    user: str | None = None
    code: str | None = None
    quantities: dict[str, int] = field(default_factory=dict)
    orders: dict[str, Order] = field(default_factory=dict)

    @property
    def lines(self) -> list[Line]:
        found = ((find(slug), quantity) for slug, quantity in self.quantities.items())
        return [Line(product, quantity) for product, quantity in found if product]

    @property
    def count(self) -> int:
        return sum(self.quantities.values())

    @property
    def totals(self) -> Totals:
        return price(self.lines, self.code)

    def put(self, slug: str, quantity: int) -> None:
        """Have ``quantity`` of a product in the cart; 0 takes it out."""
        self.quantities[slug] = quantity
        if not quantity:
            del self.quantities[slug]

    def order(self, recipient: str) -> Order:
        """Turn the cart into an order and empty it."""
        order = Order(f"T-{len(self.orders) + 1:04}", recipient, self.totals.total)
        self.orders[order.number] = order
        self.quantities.clear()
        self.code = None
        return order


class Visitors(dict[str, Visitor]):
    """All visitors, by the secret in their cookie."""


def current_visitor() -> Visitor:
    """Return the visitor who sent this request; a newcomer gets an empty state and a cookie."""
    key = session.setdefault("visitor", secrets.token_hex(8))
    visitors: Visitors = current_app.extensions["visitors"]
    return visitors.setdefault(key, Visitor())
