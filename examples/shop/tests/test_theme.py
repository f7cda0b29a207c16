"""Light and dark, in the style of ``unittest`` and with a browser of its own."""

from __future__ import annotations

import unittest

import pytest
from browser import launch
from pages import Page
from selenium.webdriver import Chrome


@pytest.mark.usefixtures("shop_on_class")
class ThemeTest(unittest.TestCase):
    driver: Chrome
    shop_url: str

    @classmethod
    def setUpClass(cls) -> None:
        cls.driver = launch()

    @classmethod
    def tearDownClass(cls) -> None:
        cls.driver.quit()

    def setUp(self) -> None:
        self.page = Page(self.driver, self.shop_url).open()
        self.driver.execute_script("localStorage.clear()")
        self.page.open()

    def theme(self) -> str | None:
        return self.page.one("html").get_attribute("data-theme")

    def test_shop_is_light_at_first(self) -> None:
        assert self.theme() == "light"

    @pytest.mark.demo_fault("browser_killed")
    def test_button_turns_the_light_off(self) -> None:
        self.page.one("#theme").click()
        assert self.theme() == "dark"

    def test_theme_is_remembered(self) -> None:
        self.page.one("#theme").click()
        self.page.open("/cart")
        assert self.theme() == "dark"
