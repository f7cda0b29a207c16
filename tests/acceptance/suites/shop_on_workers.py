"""Tests of a shop: most are right, and some are wrong whatever happens to their workers."""

import time

import lab
import pytest


def check(driver, request, title="shop"):
    lab.log(request.node.nodeid, "begun.txt")
    lab.visit(driver)
    time.sleep(0.2)
    assert driver.title == title


@pytest.mark.parametrize("number", range(3))
def test_right(driver, request, number):
    check(driver, request)


def test_wrong(driver, request):
    check(driver, request, "another shop")


@pytest.mark.xdist_group("cart")
class TestCart:
    @pytest.mark.parametrize("number", range(2))
    def test_right(self, driver, request, number):
        check(driver, request)

    def test_wrong(self, driver, request):
        check(driver, request, "another shop")

    def test_without_browser(self, request):
        lab.log(request.node.nodeid, "begun.txt")
        time.sleep(0.2)


def test_skipped():
    pytest.skip("not today")
