"""Browsers of a fixture and of nobody, and a Ctrl-C in the middle."""

import os

import lab
import pytest

os.setpgid(0, 0)
spare = lab.launch()
moment = os.environ["MOMENT"]


@pytest.fixture(scope="session")
def driver():
    with lab.browser() as driver:
        yield driver


@pytest.fixture
def second():
    if moment == "start":
        lab.interrupt_at_next_start()
        return lab.launch()
    return None


def test_before(driver):
    lab.visit(driver)


def test_interrupted(driver, second):
    if moment == "recovery":
        lab.kill_browser(spare)
        lab.interrupt_at_next_start()
        spare.get(lab.PAGE)
    if moment == "call":
        lab.interrupt_when(lambda: True)
    driver.execute_async_script("// never calls back")


def test_after():
    lab.log("too late")
