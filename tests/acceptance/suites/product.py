"""A crash first; then the product, the page and the tests themselves fail, in a healthy browser."""

import lab
import pytest
from selenium.webdriver.support.ui import WebDriverWait


@pytest.fixture(scope="session")
def driver():
    with lab.browser() as driver:
        yield driver


def test_crash(driver):
    lab.visit(driver)
    lab.strike("call", driver)
    assert driver.title == "shop"


def test_assertion(driver):
    lab.visit(driver)
    assert driver.find_element("tag name", "p").text == "good-bye"


def test_title(driver):
    lab.visit(driver)
    assert driver.title == "bank", "browser crashed: not reachable"


def test_element(driver):
    lab.visit(driver)
    driver.find_element("id", "basket")


def test_wait(driver):
    lab.visit(driver)
    WebDriverWait(driver, 0.3).until(lambda d: d.find_elements("id", "basket"))


def test_script(driver):
    lab.visit(driver)
    driver.execute_script("throw new Error('tab crashed')")


def test_alert(driver):
    lab.visit(driver)
    driver.execute_script("setTimeout(() => alert('disconnected'), 0)")
    WebDriverWait(driver, 30).until(lambda d: d.find_element("tag name", "body") and False)


def test_stale(driver):
    lab.visit(driver)
    paragraph = driver.find_element("tag name", "p")
    driver.refresh()
    paragraph.click()


def test_selector(driver):
    lab.visit(driver)
    driver.find_element("css selector", "p[")


def test_mistake(driver):
    lab.visit(driver)
    driver.no_such_method()


def test_second_crash(driver):
    lab.visit(driver)
    lab.strike("call", driver)
    assert driver.title == "bank"


def test_after(driver):
    lab.visit(driver)
