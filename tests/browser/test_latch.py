"""Which failures are kept, and what they say."""

from __future__ import annotations

import pytest

from pytest_resilience.browser import latch
from pytest_resilience.core.failures import ExceptionFact

SELENIUM = "selenium.common.exceptions."


def selenium_error(name: str, message: str) -> ExceptionFact:
    return ExceptionFact((SELENIUM + name, SELENIUM + "WebDriverException"), message)


@pytest.mark.parametrize(
    "fact",
    [
        selenium_error("WebDriverException", "tab crashed"),
        selenium_error("InvalidSessionIdException", "invalid session id"),
        selenium_error("NoSuchWindowException", "no such window"),
        selenium_error("TimeoutException", "Timed out receiving message from renderer: 5.000"),
        selenium_error("TimeoutException", "Timeout when executing request (POST http://node)"),
        ExceptionFact(("urllib3.exceptions.MaxRetryError", "urllib3.exceptions.HTTPError"), ""),
        ExceptionFact(("builtins.ConnectionResetError", "builtins.OSError"), ""),
    ],
    ids=lambda fact: f"{fact.type_name}-{fact.message[:12]}",
)
def test_what_may_lie_outside_the_page_is_kept(fact: ExceptionFact) -> None:
    assert latch.is_worth_keeping(fact)


@pytest.mark.parametrize(
    "fact",
    [
        selenium_error("NoSuchElementException", "no such element"),
        selenium_error("JavascriptException", "javascript error"),
        selenium_error("StaleElementReferenceException", "stale"),
        selenium_error("UnexpectedAlertPresentException", "unexpected alert open"),
        selenium_error("TimeoutException", "script timeout"),
        ExceptionFact(("builtins.KeyError", "builtins.LookupError"), "'x'"),
    ],
    ids=lambda fact: fact.type_name,
)
def test_ordinary_answers_are_not_kept(fact: ExceptionFact) -> None:
    assert not latch.is_worth_keeping(fact)


@pytest.mark.parametrize(
    ("message", "label"),
    [
        ("unknown error: net::ERR_CONNECTION_REFUSED", "network"),
        ("Reached error page: about:neterror?e=dnsNotFound", "network"),
        ("tab crashed\n  (Session info: chrome=156)", "browser"),
        ("session deleted as the browser has closed the connection", "browser"),
        ("Failed to decode response from marionette", "browser"),
        ("Unable to execute request for an existing session: Connection error", "worker"),
        ("Connection error (POST http://n:5555/se/grid/node/session)", "worker"),
        ("Connection error (GET http://localhost:1/session/1/title)", "driver"),
        ("Failed to execute request (GET http://localhost:1/session/1/title)", "driver"),
        ("Unable to find session with ID: 1", "coordinator"),
        ("Timed out receiving message from renderer: 3.9", "timeout"),
        ("invalid session id", "unknown"),
    ],
)
def test_the_text_names_the_layer(message: str, label: str) -> None:
    assert latch.label_of(selenium_error("WebDriverException", message)) == label


def test_a_broken_connection_without_a_telling_text_is_a_connection_failure() -> None:
    assert latch.label_of(latch.fact_of(ConnectionResetError("gone"))) == "connection"


def test_a_fact_names_the_frame_that_raised() -> None:
    def inner() -> None:
        raise ValueError("x" * 5000)

    with pytest.raises(ValueError) as caught:
        inner()
    fact = latch.fact_of(caught.value)
    assert fact.origin.endswith(":inner")
    assert fact.type_name == "ValueError"
    assert len(fact.message) == latch.TEXT_LIMIT
