"""Browsers and drivers that are stopped, and so never answer."""

import lab
import pytest


@pytest.fixture
def driver():
    driver = lab.launch()
    lab.visit(driver)
    lab.give_up_soon(driver, 4)
    yield driver
    driver.quit()
    lab.log("quit returned")


def test_browser_stops_in_call(driver):
    if lab.due("call"):
        lab.stop_browser(driver)
    driver.execute_script("return 1")


def test_driver_stops_in_call(driver):
    if lab.due("call"):
        lab.stop_driver(driver)
    driver.execute_script("return 1")


def test_browser_stops_at_the_end(driver):
    lab.stop_browser(driver)


def test_driver_stops_at_the_end(driver):
    lab.stop_driver(driver)


def test_after(driver):
    lab.visit(driver)
