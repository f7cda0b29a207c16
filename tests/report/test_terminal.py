"""The summary as lines for a terminal."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pytest_resilience.core.events import Attempt, TestResult
from pytest_resilience.report.summary import SessionInfo, Summary
from pytest_resilience.report.terminal import SHOWN, summary_lines


def texts(summary: Summary, verbosity: int = 0) -> list[str]:
    return [text for text, _ in summary_lines(summary, verbosity=verbosity)]


def test_the_whole_summary(summary: Summary) -> None:
    """Counts, recovered, lost with what to do, circuits, time, warnings and files."""
    assert texts(summary) == [
        "verdicts: 1 passed, 1 recovered, 1 failed, 1 unrecovered, 1 blocked, 1 skipped, 1 xfailed",
        "RECOVERED tests/test_shop.py::test_cart - browser: invalid session id "
        "(browser_restart 2.0 s, 2 attempts)",
        "UNRECOVERED tests/test_shop.py::test_pay - browser: invalid session id (2 attempts)",
        "  reason: The budget is spent.",
        "  tried: browser_restart 2.0 s",
        "  what to do: Look for a crash or the out-of-memory killer (dmesg), and give the browser "
        "more memory and shared memory (/dev/shm).",
        "BLOCKED 1 test - browser chromium is down, and was waited for in vain: the trial failed",
        "  root error: tests/test_shop.py::test_pay - browser: invalid session id",
        "  what to do: Look for a crash or the out-of-memory killer (dmesg), and give the browser "
        "more memory and shared memory (/dev/shm). Then run the blocked tests again.",
        "  tests/test_shop.py::test_mail",
        "circuits: browser chromium open 2 times (open at the end), waited 4.5 s, "
        "2 tests put behind others",
        "time: 4.0 s in 2 recoveries, 3.0 s in attempts that were repeated",
        "warning: The history is locked.",
        "warning: 2 records of this session are missing from report and history",
        "report: .resilience/report.html",
    ]


def test_three_verdicts_are_always_named() -> None:
    """Passed, recovered and failed are said even when nobody got them."""
    assert texts(Summary(SessionInfo())) == ["verdicts: 0 passed, 0 recovered, 0 failed"]


@pytest.mark.parametrize(
    ("verdict", "colour"),
    [
        ("passed", "green"),
        ("recovered", "yellow"),
        ("failed", "red"),
        ("unrecovered", "red"),
        ("blocked", "red"),
    ],
)
def test_the_colour_is_that_of_the_worst(verdict: str, colour: str) -> None:
    """The counts line is green, yellow or red, like the session."""
    summary = Summary(SessionInfo(), [TestResult("a", "passed"), TestResult("b", verdict)])
    assert summary_lines(summary)[0][1] == {colour: True, "bold": True}


def test_without_colour_there_is_no_markup(summary: Summary) -> None:
    """No line carries markup when colours are off."""
    assert [markup for _, markup in summary_lines(summary, color=False) if markup] == []


def test_quiet_says_the_counts_of_an_incident_only(summary: Summary) -> None:
    """With -q an incident leaves one line and an ordinary session none."""
    assert len(texts(summary, verbosity=-1)) == 1
    ordinary = Summary(SessionInfo(), [TestResult("a", "passed"), TestResult("b", "failed")])
    assert texts(ordinary, verbosity=-1) == []


def test_many_recovered_tests_are_cut_short(died: Callable[..., Attempt]) -> None:
    """A storm does not flood the terminal, unless -v asks for it."""
    tests = [TestResult(f"t{n}", "recovered", attempts=[died()]) for n in range(SHOWN + 5)]
    storm = Summary(SessionInfo(), tests)
    named = [line for line in texts(storm) if line.startswith("RECOVERED")]
    assert len(named) == SHOWN
    assert "... and 5 more recovered (-v names all)" in texts(storm)
    assert sum(line.startswith("RECOVERED") for line in texts(storm, 1)) == SHOWN + 5


def test_an_injected_fault_is_named(died: Callable[..., Attempt]) -> None:
    """Nobody takes an injected failure for a real one."""
    test = TestResult("t", "recovered", attempts=[died(injected="crash:severe"), Attempt(2)])
    assert "[injected: crash:severe]" in texts(Summary(SessionInfo(), [test]))[1]


def test_hostile_text_stays_on_its_line(died: Callable[..., Attempt]) -> None:
    """Escapes and newlines in ids and messages cannot draw on the terminal."""
    attempt = died(message="\x1b]0;owned\x07\x1b[2Jboom\nsecond line", error_type="brow\x1bser")
    test = TestResult("t[\x1b[31m\n]", "recovered", attempts=[attempt])
    for line in texts(Summary(SessionInfo(), [test], warnings=["w\x1b[1m\nx"])):
        assert line.isprintable()
