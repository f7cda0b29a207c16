"""What a rule may ask for, one condition at a time."""

from __future__ import annotations

import re
from typing import Any

import pytest

from pytest_resilience.core.classifier import Rule, classify
from pytest_resilience.core.evidence import Evidence
from pytest_resilience.core.failures import ErrorType, ExceptionFact, Failure
from pytest_resilience.core.rule import normal_command
from pytest_resilience.core.statement import signature_text

from .failures_of import evidence, fact, failure

CRASH = fact("WebDriverException", "Message: tab crashed")
WRAPPED = (
    fact("myframework.UIError", "page failed"),
    ExceptionFact(CRASH.mro, CRASH.message, "cause", "somewhere/browser.py:click"),
)


def matches(said: Failure, found: Evidence | None = None, **conditions: Any) -> bool:
    """Return whether a rule with these conditions decides `said`."""
    rule = Rule(name="mine", error_type=ErrorType.BROWSER, **conditions)
    return classify(said, found or Evidence(), (rule,)).rule == "mine"


@pytest.mark.parametrize(
    "types",
    [
        ("WebDriverException",),
        ("selenium.common.exceptions.WebDriverException",),
        ("selenium.*",),
        ("Exception",),
        ("Nothing", "WebDriverException"),
    ],
    ids=["short", "qualified", "package", "base", "one-of"],
)
def test_types_match_along_the_mro_of_any_exception(types: tuple[str, ...]) -> None:
    """A name matches short, qualified, by package and through a base class."""
    assert matches(failure(*WRAPPED), types=types)


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({"types": ("TimeoutException",)}, False),
        ({"message": "TAB CRASHED"}, True),
        ({"message": "^page failed$"}, True),
        ({"message": "tab crashed", "part": "outermost"}, False),
        ({"message": "page failed", "part": "outermost"}, True),
        ({"message": "tab crashed", "without": "crashed"}, False),
        ({"types": ("WebDriverException",), "message": "page failed"}, False),
        ({"types": ("UIError",), "absent": ("selenium.*",)}, False),
        ({"types": ("UIError",), "absent": ("playwright.*",)}, True),
        ({"origin": "browser.py:click"}, True),
        ({"origin": "browser.py:quit"}, False),
        ({"types": ("UIError",), "phases": {"setup"}}, False),
        ({"types": ("UIError",), "phases": {"call"}}, True),
        ({"types": ("UIError",), "commands": {"executescript"}}, True),
        ({"types": ("UIError",), "commands": {"get"}}, False),
        ({"types": ("UIError",), "remote": True}, False),
        ({"types": ("UIError",), "remote": False}, True),
        ({"types": ("UIError",), "starting": True}, False),
        ({"types": ("UIError",), "starting": False}, True),
        ({"evidence": {"session": ("error", "ok")}}, True),
        ({"evidence": {"session": {"silent"}}}, False),
        ({"evidence": {"grid": {"ok"}}}, False),
        ({"evidence": {"grid": {"unasked"}}}, True),
        ({"evidence": {"session": {"ok"}}, "unless": {"page": {"ok"}}}, False),
        ({"evidence": {"session": {"ok"}}, "details": {"page": "/cart$"}}, True),
        ({"evidence": {"session": {"ok"}}, "details": {"page": "/login"}}, False),
    ],
    ids=str,
)
def test_condition(conditions: dict[str, Any], expected: bool) -> None:
    """Each condition holds or fails on its own."""
    said = failure(*WRAPPED, command="w3cExecuteScript")
    found = evidence({"page": "http://app/cart"}, session="ok", page="ok")
    assert matches(said, found, **conditions) is expected


@pytest.mark.parametrize(
    "types", [(), ("WebDriverException",), ("Exception",)], ids=["none", "selenium", "any"]
)
def test_text_of_a_quoting_exception_is_searched_only_by_name(types: tuple[str, ...]) -> None:
    """A rule about drivers in general does not read the locator of a missing element."""
    said = failure(fact("NoSuchElementException", "no such element: #tab crashed"))
    assert not matches(said, types=types, message="tab crashed")
    assert matches(said, types=("NoSuchElementException",), message="tab crashed")


@pytest.mark.parametrize(
    ("conditions", "hint"),
    [
        ({"message": "("}, "regular expression"),
        ({"details": {"page": "["}}, "regular expression"),
        ({"confidence": 1.5}, "confidence"),
        ({"part": "innermost"}, "innermost"),
    ],
    ids=["message", "details", "confidence", "part"],
)
def test_bad_condition_is_refused_at_once_and_by_name(
    conditions: dict[str, Any], hint: str
) -> None:
    """Whoever writes a rule learns of a mistake where it is made."""
    with pytest.raises(ValueError, match=re.escape("'mine'")) as caught:
        Rule(name="mine", error_type=ErrorType.PAGE, **conditions)
    assert hint in str(caught.value)


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("get", "get"),
        ("newSession", "newsession"),
        ("new session", "newsession"),
        ("get(in flight)", "get"),
        ("w3cExecuteScriptAsync", "executescriptasync"),
        ("switch_to.window", "switchtowindow"),
        ("", ""),
        (None, ""),
    ],
    ids=str,
)
def test_commands_are_named_alike(command: Any, expected: str) -> None:
    """However a command was written down, rules know it by one name."""
    assert normal_command(command) == expected


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("Message: tab crashed\nStacktrace:\n#0 disconnected", "tab crashed"),
        ("lost; For documentation on this error, please visit: x", "lost"),
        ("gone\nBuild info: version: '4'", "gone"),
        ("Page.click: Timeout\nCall log:\n  - waiting", "Page.click: Timeout"),
        ("plain", "plain"),
        ("", ""),
    ],
    ids=["stacktrace", "documentation", "build", "call-log", "plain", "empty"],
)
def test_appendices_are_no_part_of_a_signature(message: str, expected: str) -> None:
    """What drivers append to every message says nothing about this one."""
    assert signature_text(message) == expected
