"""Four ways to break a browser on purpose: nothing here is simulated."""

from __future__ import annotations

from typing import Any

import pytest
from selenium.webdriver.remote.webdriver import WebDriver

from pytest_resilience import BrowserFailureInjector, CircuitBreaker

PAGE = "data:text/html,<title>Teapot</title><p>short and stout"


@pytest.fixture
def teapot(driver: WebDriver) -> WebDriver:
    """The browser, with the page open."""
    driver.get(PAGE)
    return driver


def test_by_the_fixture(teapot: WebDriver, failure_injector: BrowserFailureInjector) -> None:
    """The fixture strikes at this very line, and undoes it when the attempt has ended."""
    struck = failure_injector.inject_failure("hang", "mild")
    assert struck.fault == "pause_renderer"
    # Late by two seconds, and not lost.
    assert teapot.find_element("css selector", "p").text == "short and stout"


def test_by_the_class(teapot: WebDriver) -> None:
    """The class does the same for anything that holds a driver, and undoes it with its block."""
    breaker = CircuitBreaker(failure_threshold=5, name="teapot")
    with BrowserFailureInjector(teapot, circuit_breaker=breaker, seed=7) as injector:
        offline = injector.inject_failure("connection_failure", "moderate")
        assert teapot.execute_script("return navigator.onLine") is False
        offline.undo()
        assert teapot.execute_script("return navigator.onLine") is True
        # Something that the circuit allows, the same for the same seed.
        injector.inject_random_failure(exclude_severe=True).undo()
        stats: dict[str, Any] = injector.get_failure_stats()
    assert stats["attempts"] == 2
    assert stats["circuit_breaker"]["state"] == "closed"


@pytest.mark.inject_failure("crash", intensity="severe")
def test_by_a_marker(teapot: WebDriver) -> None:
    """The browser is killed before the body of this test runs: with --resilience it recovers."""
    assert teapot.title == "Teapot"


@pytest.mark.inject_failure("driver_crash", intensity="severe", at="setup:teapot")
def test_by_a_marker_before_a_fixture(teapot: WebDriver) -> None:
    """The driver is killed before the page is opened."""
    assert teapot.title == "Teapot"
