"""Several browsers at a time, of which one breaks."""

import lab
import pytest

kept = []


@pytest.fixture(scope="session")
def left():
    with lab.browser("left") as driver:
        yield driver


@pytest.fixture(scope="session")
def right():
    with lab.browser("right") as driver:
        yield driver


@pytest.fixture
def leaking():
    driver = lab.launch()
    kept.append(driver)
    lab.visit(driver)
    return driver


def test_both(left, right):
    lab.visit(left)
    lab.visit(right)
    lab.strike("call", left)
    assert right.title == "shop"
    assert left.title == "shop"


def test_break_left_when_done(left):
    lab.visit(left)
    lab.strike("call", left)


def test_right_fails(right):
    lab.visit(right)
    assert right.title == "bank"


def test_left_again(left):
    lab.visit(left)


def test_leak(leaking):
    lab.strike("call", leaking)


def test_after_leak(leaking):
    assert leaking.title == "bank"
