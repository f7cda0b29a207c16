"""Tests that end their browser themselves, which is nobody's failure but their own."""

import lab
import pytest


@pytest.fixture
def driver():
    driver = lab.launch()
    lab.visit(driver)
    yield driver
    driver.quit()


def test_quit_then_assertion(driver):
    driver.quit()
    assert driver is None


def test_quit_then_command(driver):
    driver.quit()
    driver.get(lab.PAGE)


def test_last_window_then_assertion(driver):
    driver.close()
    assert driver is None


def test_last_window_then_command(driver):
    driver.close()
    driver.find_element("tag name", "p")


def test_quit(driver):
    driver.quit()


def test_quit_of_a_dead_browser_then_assertion(driver):
    lab.strike("call", driver)
    driver.quit()
    assert driver is None
