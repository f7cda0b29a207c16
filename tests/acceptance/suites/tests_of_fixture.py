"""One test for each moment at which a fault may strike; the browser comes from fixtures."""

import lab


def test_before(account):
    lab.visit(account)


def test_setup(page):
    assert lab.raw(page).title == "shop"


def test_between(account):
    lab.visit(account)
    lab.strike("call", account)
    assert lab.raw(account).title == "shop"


def test_during(account):
    lab.work(account)


def test_neighbour(account):
    lab.visit(account)


def test_teardown(account):
    lab.visit(account)
