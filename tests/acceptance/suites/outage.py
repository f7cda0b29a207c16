"""A browser that goes down in the middle, between tests that need it and tests that do not.

The browser is down while there is a file; it goes some seconds after the last of the tests that
need no browser has run, however slow the machine is, or never.
"""

import contextlib
import os
import threading
import time
from pathlib import Path

import lab
import psutil
import pytest

HERE = Path(__file__).parent
DOWN = HERE / "down"
#: Seconds after the last test that needs none; 0 for never.
OUTAGE_S = float(os.environ["OUTAGE"])


def binary():
    program = HERE / "chromium"
    if not program.exists():
        program.write_text(f'#!/bin/sh\n[ -e "{DOWN}" ] && exit 1\nexec chromium "$@"\n')
        program.chmod(0o755)
    return str(program)


@pytest.fixture(scope="session")
def driver():
    with lab.browser("driver", binary=binary()) as driver:
        yield driver


@pytest.fixture(scope="module")
def account(driver):
    with lab.account(driver):
        yield driver


@pytest.fixture(scope="module")
def wide():
    with lab.logged("wide"):
        yield


def come_back():
    log = HERE / "log.txt"
    while "last" not in log.read_text().split():
        time.sleep(0.05)
    time.sleep(OUTAGE_S)
    DOWN.unlink()


def strike(driver):
    if (HERE / "struck").exists():
        return
    (HERE / "struck").touch()
    DOWN.touch()
    if OUTAGE_S:
        threading.Thread(target=come_back, daemon=True).start()
    for child in psutil.Process(driver.service.process.pid).children():
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()


@pytest.mark.parametrize("number", range(3))
def test_shop(account, wide, number):
    lab.log(f"shop {number}")
    if number == 1:
        strike(account)
    lab.visit(account)


def test_plain(wide):
    lab.log("plain")


@pytest.mark.parametrize("number", range(2))
def test_late(driver, number):
    lab.log(f"late {number}")
    lab.visit(driver)


def test_last():
    lab.log("last")
