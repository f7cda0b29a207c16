"""Searching."""

from __future__ import annotations

import pytest
from pages import Page


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("teapot", ["Cast iron teapot"]),
        ("TEA", ["Sencha green tea", "Assam black tea", "Cast iron teapot"]),
        ("hand", ["Stoneware cup"]),
    ],
    ids=["name", "case", "text"],
)
def test_search_finds(home_page: Page, query: str, names: list[str]) -> None:
    home_page.search(query)
    assert home_page.product_names == names


@pytest.mark.demo_fault("chromedriver_killed", at="home_page")
def test_search_without_result_says_so(home_page: Page) -> None:
    home_page.search("coffee")
    assert home_page.text("#nothing") == "Nothing found. Perhaps another word?"


def test_query_is_shown_as_text(home_page: Page) -> None:
    home_page.search("<h1>tea</h1>")
    assert home_page.heading == "Results for “<h1>tea</h1>”"
