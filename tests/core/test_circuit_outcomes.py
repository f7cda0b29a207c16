"""What an exception says about the infrastructure."""

from __future__ import annotations

import asyncio
import concurrent.futures
import unittest
from collections.abc import Callable
from typing import Any

import pytest
from selenium.common import exceptions as selenium

from pytest_resilience.core.circuit_outcomes import outcome_of
from pytest_resilience.core.circuit_record import Outcome
from pytest_resilience.exceptions import CircuitOpenError, ResilienceError


class Missing(selenium.NoSuchElementException):
    """A user's own."""


class Failed(Exception):  # noqa: N818
    """A user's own, that is called like pytest's."""


def raised(function: Callable[..., Any], *args: Any) -> BaseException:
    with pytest.raises(BaseException) as found:
        function(*args)
    return found.value


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        pytest.param(None, Outcome.SUCCESS, id="none"),
        pytest.param(AssertionError("2 == 3"), Outcome.SUCCESS, id="assertion"),
        pytest.param(raised(pytest.fail, "no"), Outcome.SUCCESS, id="pytest.fail"),
        pytest.param(selenium.NoSuchElementException(), Outcome.SUCCESS, id="missing-element"),
        pytest.param(Missing(), Outcome.SUCCESS, id="missing-element-of-the-user"),
        pytest.param(selenium.StaleElementReferenceException(), Outcome.SUCCESS, id="stale"),
        pytest.param(selenium.JavascriptException(), Outcome.SUCCESS, id="javascript"),
        pytest.param(selenium.ElementClickInterceptedException(), Outcome.SUCCESS, id="click"),
        pytest.param(raised(pytest.skip, "no"), Outcome.IGNORED, id="pytest.skip"),
        pytest.param(raised(pytest.xfail, "no"), Outcome.IGNORED, id="pytest.xfail"),
        pytest.param(raised(pytest.exit, "no"), Outcome.IGNORED, id="pytest.exit"),
        pytest.param(unittest.SkipTest("no"), Outcome.IGNORED, id="unittest-skip"),
        pytest.param(KeyboardInterrupt(), Outcome.IGNORED, id="interrupt"),
        pytest.param(SystemExit(), Outcome.IGNORED, id="exit"),
        pytest.param(GeneratorExit(), Outcome.IGNORED, id="closed-generator"),
        pytest.param(asyncio.CancelledError(), Outcome.IGNORED, id="cancelled-task"),
        pytest.param(concurrent.futures.CancelledError(), Outcome.IGNORED, id="cancelled-future"),
        pytest.param(CircuitOpenError("x", 1.0), Outcome.IGNORED, id="another-circuit"),
        pytest.param(selenium.WebDriverException(), Outcome.FAILURE, id="webdriver"),
        pytest.param(selenium.TimeoutException(), Outcome.FAILURE, id="timeout"),
        pytest.param(selenium.NoSuchWindowException(), Outcome.FAILURE, id="window-gone"),
        pytest.param(ConnectionError(), Outcome.FAILURE, id="connection"),
        pytest.param(Failed(), Outcome.FAILURE, id="called-like-pytest's"),
        pytest.param(ResilienceError("x"), Outcome.FAILURE, id="ours"),
    ],
)
def test_an_error_is_a_failure_an_answer_or_silence(
    error: BaseException | None, outcome: Outcome
) -> None:
    assert outcome_of(error) is outcome


def test_the_answers_of_a_browser_are_selenium_s_own() -> None:
    """A name that selenium does not know would be a misprint."""
    from pytest_resilience.core import circuit_outcomes

    for name in circuit_outcomes._ANSWERS:
        assert issubclass(getattr(selenium, name), selenium.WebDriverException)
