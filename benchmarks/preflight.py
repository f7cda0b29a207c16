"""What the pre-flight check of a shared browser costs: time per check of a living session.

    python benchmarks/preflight.py [CHECKS]

Prints the machine, the versions and every block of checks; needs Chromium and its driver.
"""

from __future__ import annotations

import os
import platform
import shutil
import statistics
import sys
import time

import pytest
import selenium
from selenium import webdriver

from pytest_resilience.browser import probes
from pytest_resilience.browser.sessions import SessionRegistry

ARGUMENTS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage")
BLOCK = 50


def main() -> None:
    """Check one living session many times and print what that took."""
    checks = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    registry = SessionRegistry()
    registry.watch()
    options = webdriver.ChromeOptions()
    for argument in ARGUMENTS:
        options.add_argument(argument)
    service = webdriver.ChromeService(shutil.which("chromedriver"))
    driver = webdriver.Chrome(options=options, service=service)
    try:
        driver.get("data:text/html,<title>benchmark</title>")
        session = registry.session_of(driver)
        assert session is not None
        print(f"{platform.platform()}, {os.cpu_count()} processors, load {os.getloadavg()}")
        print(f"Python {platform.python_version()}, pytest {pytest.__version__}, ", end="")
        print(f"selenium {selenium.__version__}, {driver.capabilities['browserVersion']}")
        fresh = statistics.median(_timed(session) for _ in range(checks))
        print(f"has just answered, {checks} checks: median {fresh * 1e3:.2f} ms")
        time.sleep(2)
        times = [_timed(session) for _ in range(checks)]
        for begin in range(0, checks, BLOCK):
            block = times[begin : begin + BLOCK]
            print(f"checks {begin:4} to {begin + len(block) - 1:4}: ", end="")
            print(f"median {statistics.median(block) * 1e3:.2f} ms, max {max(block) * 1e3:.2f} ms")
        ordered = sorted(times)
        print(f"all {checks}: median {statistics.median(times) * 1e3:.2f} ms, ", end="")
        print(f"95th percentile {ordered[int(0.95 * checks)] * 1e3:.2f} ms")
    finally:
        driver.quit()
        registry.unwatch()


def _timed(session: object) -> float:
    begun = time.perf_counter()
    healthy = probes.is_healthy(session)  # type: ignore[arg-type]
    spent = time.perf_counter() - begun
    assert healthy
    return spent


if __name__ == "__main__":
    main()
