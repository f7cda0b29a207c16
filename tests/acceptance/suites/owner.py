"""Tests of one folder: their own `driver`, for the session, and what they do with it."""

import lab
import pytest


@pytest.fixture(scope="session")
def driver():
    with lab.browser(__name__.rpartition(".")[2]) as driver:
        yield driver


def test_page(driver):
    lab.visit(driver)
    lab.strike("call", driver)


def test_product(driver):
    assert driver.session_id == "another"
