"""A small session with one test of each kind, and a real browser to look at its report."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pytest_resilience.core.events import Attempt, RecoveryPerformanceRecord, TestResult
from pytest_resilience.report.summary import SessionInfo, Summary

START_US = 1_800_000_000_000_000

EVIDENCE = (
    {"probe": "browser_process", "answer": "gone", "detail": "pid 4821, signal 9", "cost_s": 1e-5},
    {"probe": "driver_status", "answer": "ok", "detail": "chromedriver 156", "cost_s": 0.0006},
)


def _died(number: int = 1, **changes: Any) -> Attempt:
    values: dict[str, Any] = {
        "number": number,
        "outcome": "rerun",
        "started_us": START_US,
        "duration_s": 1.5,
        "worker": "gw0",
        "error_type": "browser",
        "infrastructure": True,
        "severity": "high",
        "exception": "InvalidSessionIdException",
        "message": "Message: invalid session id\n  (Session info: chrome=156.0)",
        "rule": "browser.gone",
        "confidence": 0.97,
        "evidence": EVIDENCE,
        "strategy": "browser_restart",
        "level": 3,
        "recovery_s": 2.0,
        "reason": "expected cost 2.6 s is the lowest",
        "browser": "chromium",
        "traceback": "tests/test_shop.py:12: in test_cart\n    driver.get(url)",
    }
    return Attempt(**{**values, **changes})


DOWN = "browser chromium is down, and was waited for in vain: the trial failed"


def _blocked(nodeid: str, *, reason: str = DOWN, root_error_id: str = "") -> TestResult:
    told = Attempt(
        outcome="failed",
        phase="setup",
        worker="gw0",
        started_us=START_US + 8_900_000,
        duration_s=0.001,
        error_type="circuit_open",
        infrastructure=True,
        severity="high",
        exception="CircuitOpenError",
        message=reason,
        rule="circuit-open",
        reason=reason,
        root_error_id=root_error_id,
    )
    return TestResult(nodeid, "blocked", "gw0", told.started_us, 0.001, reason, [told])


def _transition(
    at_s: float, from_state: str, to_state: str, reason: str = "", worker: str = "gw0"
) -> dict[str, Any]:
    return {
        "at_s": at_s,
        "from_state": from_state,
        "to_state": to_state,
        "reason": reason,
        "worker": worker,
    }


def _circuit(**changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "name": "chromium",
        "kind": "browser",
        "state": "open",
        "health": 0.0,
        "successes": 12,
        "failures": 5,
        "ignored": 1,
        "refused": 3,
        "stale": 0,
        "opened": 2,
        "waited_s": 4.5,
        "reason": "the trial failed",
        "transitions": [],
    }
    return {**values, **changes}


def _record(strategy: str, *, success: bool, took: float = 2.0) -> RecoveryPerformanceRecord:
    return RecoveryPerformanceRecord(
        strategy_id=strategy,
        strategy_name=strategy.replace("_", " "),
        error_type="browser",
        execution_time=took,
        success=success,
        context={"recovery_level": 3},
    )


@pytest.fixture
def died() -> Callable[..., Attempt]:
    """Make an attempt whose browser died."""
    return _died


@pytest.fixture
def record() -> Callable[..., RecoveryPerformanceRecord]:
    """Make the record of one execution of a strategy."""
    return _record


@pytest.fixture
def blocked() -> Callable[..., TestResult]:
    """Make a test that the circuit of Chromium kept from running."""
    return _blocked


@pytest.fixture
def circuit() -> Callable[..., dict[str, Any]]:
    """Make a circuit as the summary holds it, open at the end."""
    return _circuit


@pytest.fixture
def transition() -> Callable[..., dict[str, Any]]:
    """Make a change of a circuit's state as the summary holds it."""
    return _transition


@pytest.fixture
def summary() -> Summary:
    """A session with a test of each verdict but ``xpassed``."""
    passed = Attempt(duration_s=0.4, worker="gw0", started_us=START_US)
    tests = [
        TestResult("tests/test_shop.py::test_home", "passed", "gw0", START_US, 0.4, "", [passed]),
        TestResult(
            "tests/test_shop.py::test_cart",
            "recovered",
            "gw0",
            START_US,
            4.0,
            "",
            [
                _died(),
                Attempt(2, worker="gw0", started_us=START_US + 3_500_000, duration_s=0.5),
            ],
        ),
        TestResult(
            "tests/test_shop.py::test_price",
            "failed",
            "gw1",
            START_US,
            0.3,
            "",
            [
                Attempt(
                    outcome="failed",
                    worker="gw1",
                    started_us=START_US,
                    duration_s=0.3,
                    error_type="product",
                    severity="medium",
                    exception="AssertionError",
                    message="assert 1 == 2",
                    rule="assertion",
                )
            ],
        ),
        TestResult(
            "tests/test_shop.py::test_pay",
            "unrecovered",
            "gw1",
            START_US,
            3.5,
            "The budget is spent.",
            [
                _died(worker="gw1"),
                _died(2, worker="gw1", outcome="failed", strategy="", level=0, error_id="e-pay-2"),
            ],
        ),
        _blocked("tests/test_shop.py::test_mail", root_error_id="e-pay-2"),
        TestResult(
            "tests/test_shop.py::test_gpu",
            "skipped",
            reason="no GPU",
            attempts=[Attempt(outcome="skipped", phase="setup")],
        ),
        TestResult(
            "tests/test_shop.py::test_known", "xfailed", attempts=[Attempt(outcome="skipped")]
        ),
    ]
    return Summary(
        session=SessionInfo(
            session_id="s-1",
            started_us=START_US,
            finished_us=START_US + 9_000_000,
            exit_status=1,
            rootdir="shop",
            python_version="3.11.7",
            pytest_version="9.2.0",
            plugin_version="1.0",
            platform="Linux",
            workers=["gw0", "gw1"],
            options={"--resilience-retry": "infrastructure"},
            facts={"seed": 7},
        ),
        tests=tests,
        recoveries=[
            _record("browser_restart", success=True),
            _record("browser_restart", success=False),
        ],
        circuits=[
            _circuit(
                transitions=[
                    _transition(3.5, "closed", "open", "browser: 3 failures in a row"),
                    _transition(5.5, "open", "half-open", "a health probe succeeded"),
                    _transition(6.5, "half-open", "open", "the trial failed", worker="gw1"),
                ]
            ),
            _circuit(name="firefox", state="closed", health=100.0, opened=0, waited_s=0.0),
        ],
        circuit_waited_s=4.5,
        moved=2,
        agreement={"best": 1, "cases": 2},
        events_lost=2,
        warnings=["The history is locked."],
        artifacts={"report": ".resilience/report.html"},
    )


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A headless Chromium that logs everything its console and its network see."""
    from selenium import webdriver
    from selenium.webdriver.chrome.options import Options

    options = Options()
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--disable-dev-shm-usage",
        "--window-size=1280,900",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options)
    yield driver
    driver.quit()
