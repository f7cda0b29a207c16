"""What the shop sells.

Invariant: the catalogue never changes while the shop is open.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Product:
    """One article. ``price`` is in cents; ``slug`` is its name in addresses."""

    slug: str
    name: str
    price: int
    text: str
    in_stock: bool = True


PRODUCTS = (
    Product("sencha", "Sencha green tea", 890, "Steamed leaves, fresh as cut grass."),
    Product("assam", "Assam black tea", 750, "Malty and strong; it stands up to milk."),
    Product("teapot", "Cast iron teapot", 4200, "Keeps 0.8 litres warm for an hour."),
    Product("cup", "Stoneware cup", 1200, "Thrown by hand, so no two are the same."),
    Product("kettle", "Gooseneck kettle", 5900, "Pours exactly where you look."),
    Product("strainer", "Bamboo strainer", 650, "Fine enough for rooibos."),
    Product("honey", "Linden honey", 980, "From one valley, from one June."),
    Product("whisk", "Matcha whisk", 1800, "A hundred tines from one stalk.", in_stock=False),
)


def find(slug: str) -> Product | None:
    """Return the product called ``slug``, or None."""
    return next((product for product in PRODUCTS if product.slug == slug), None)


def search(query: str) -> list[Product]:
    """Return the products whose name or text contains ``query``, whatever its case."""
    needle = query.strip().casefold()
    return [item for item in PRODUCTS if needle in f"{item.name} {item.text}".casefold()]
