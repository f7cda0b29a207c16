"""Browsers that are asked for by name while something runs, and that start late."""

import lab
import pytest


def start(name):
    return lab.browser(name, binary="/bin/false" if lab.due("start") else "chromium")


@pytest.fixture(scope="session")
def driver():
    with start("driver") as driver:
        yield driver


@pytest.fixture(scope="session")
def other():
    with start("other") as driver:
        yield driver


@pytest.fixture(scope="module")
def account(request):
    driver = request.getfixturevalue("driver")
    with lab.account(driver):
        yield driver


def test_fixture_asks(account):
    lab.visit(account)


def test_asks(request):
    lab.visit(request.getfixturevalue("other"))


def test_after(account, other):
    lab.visit(account)
    lab.visit(other)
