"""Tests of a page, of about half a second each, and between them some that need no browser."""

import os

import pytest

NUMBERS = range(1, int(os.environ.get("TESTS", "40")) + 1)
#: Every so many needs no browser.
EVERY = 7
PAGE = "data:text/html,<title>shop</title><p id=p>item {}"


@pytest.mark.parametrize("number", [n for n in NUMBERS if n % EVERY])
def test_shop(driver, outage, number):
    driver.get(PAGE.format(number))
    outage(number)
    driver.execute_async_script("setTimeout(arguments[0], 300)")
    assert driver.title == "shop"
    assert driver.find_element("id", "p").text == f"item {number}"


@pytest.mark.parametrize("number", [n for n in NUMBERS if not n % EVERY])
def test_prices(number):
    assert sum([number, 2]) == number + 2
