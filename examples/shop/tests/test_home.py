"""The home page and the pages that need patience."""

from __future__ import annotations

import pytest
from pages import Page, PicksPage
from selenium.webdriver.common.by import By
from shopapp.catalogue import PRODUCTS


def test_title_names_the_shop(home_page: Page) -> None:
    assert home_page.driver.title == "Good tea, slowly · Lantern Tea"


@pytest.mark.demo_fault("tab_crashed")
def test_home_lists_every_product(home_page: Page) -> None:
    assert home_page.product_names == [product.name for product in PRODUCTS]


def test_product_link_leads_to_its_page(home_page: Page) -> None:
    link = home_page.driver.find_element(By.LINK_TEXT, "Stoneware cup")
    home_page.leave(link.click)
    assert home_page.heading == "Stoneware cup"


def test_unknown_address_is_not_found(home_page: Page) -> None:
    assert home_page.open("/coffee").heading == "Page not found"


def test_slow_page_arrives(home_page: Page) -> None:
    assert home_page.open("/slow?ms=700").text("#milliseconds") == "700"


def test_picks_arrive_by_script(picks_page: PicksPage) -> None:
    assert picks_page.picks == ["Sencha green tea", "Assam black tea", "Cast iron teapot"]
