"""The page of one product."""

from __future__ import annotations

from pages import ProductPage


def test_product_shows_price_and_text(product_page: ProductPage) -> None:
    assert product_page.text("#price") == "€8.90"
    assert product_page.text("#text").startswith("Steamed leaves")


def test_adding_raises_the_count(product_page: ProductPage) -> None:
    product_page.add()
    product_page.add()
    assert product_page.count == 2


def test_sold_out_product_cannot_be_added(product_page: ProductPage) -> None:
    product_page.show("whisk")
    assert product_page.text("#add") == "Sold out"
    assert not product_page.one("#add").is_enabled()


def test_unknown_product_is_not_found(product_page: ProductPage) -> None:
    assert product_page.show("espresso").heading == "Page not found"
