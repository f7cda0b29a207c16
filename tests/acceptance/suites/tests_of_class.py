"""One test for each moment at which a fault may strike; the browser belongs to a class."""

import lab
import pytest


@pytest.fixture(scope="class", autouse=True)
def label():
    with lab.logged("label"):
        yield


class TestShop:
    def test_before(self, account):
        lab.visit(account)

    def test_setup(self, page):
        assert page.title == "shop"

    def test_between(self, account):
        lab.visit(account)
        lab.strike("call", account)
        assert account.title == "shop"

    def test_during(self, account):
        lab.work(account)

    def test_neighbour(self, account):
        lab.visit(account)

    def test_teardown(self, account):
        lab.visit(account)


class TestNext:
    def test_after(self, account):
        lab.visit(account)
