"""The summary as lines for a terminal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pytest_resilience.core.events import Attempt, TestResult
from pytest_resilience.report.summary import SessionInfo, Summary
from pytest_resilience.report.terminal import CIRCUITS, SHOWN, summary_lines


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
        "warning: 2 records of this session are missing from the history",
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


@pytest.mark.parametrize(
    ("status", "colour"), [(0, "green"), (5, "green"), (2, "red"), (3, "red"), (4, "red")]
)
def test_a_run_that_ended_badly_is_not_green(status: int, colour: str) -> None:
    """Where tests could not be collected no test has failed."""
    summary = Summary(SessionInfo(exit_status=status), [TestResult("a", "passed")])
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


def test_nothing_is_said_if_no_circuit_ever_moved(circuit: Callable[..., Any]) -> None:
    """Circuits that were closed all the time are no news, and no incident."""
    calm = Summary(SessionInfo(), circuits=[circuit(state="closed", opened=0)])
    assert texts(calm) == ["verdicts: 0 passed, 0 recovered, 0 failed"]
    assert not calm.had_incident


def test_openings_waits_and_moves_are_one_line(circuit: Callable[..., Any]) -> None:
    """Which circuits opened, how long was waited, how many tests were moved."""
    summary = Summary(
        SessionInfo(), circuits=[circuit(kind="endpoint", name="http://grid:4444", state="closed")]
    )
    summary.circuit_waited_s, summary.moved = 21.4, 14
    assert (
        "circuits: endpoint http://grid:4444 open 2 times, waited 21.4 s, "
        "14 tests put behind others"
    ) in texts(summary)
    assert summary.had_incident


@pytest.mark.parametrize("field", ["circuit_waited_s", "moved"])
def test_a_wait_alone_is_an_incident(field: str) -> None:
    """Without circuits, as on the controller of workers, the cost is still told."""
    summary = Summary(SessionInfo())
    setattr(summary, field, 1)
    assert len(texts(summary, verbosity=-1)) == 1
    assert texts(summary)[-1].startswith("circuits: ")


def test_many_circuits_are_cut_short(circuit: Callable[..., Any]) -> None:
    """A farm of grids makes no endless line."""
    summary = Summary(SessionInfo(), circuits=[circuit(name=f"b{n}") for n in range(CIRCUITS + 3)])
    (line,) = [text for text in texts(summary) if text.startswith("circuits:")]
    assert line.count("open 2 times") == CIRCUITS
    assert line.endswith("3 more (see report)")


def test_a_group_is_cut_short_unless_asked(blocked: Callable[..., TestResult]) -> None:
    """Of many blocked tests the first are named, with -v all; each stands on its line."""
    summary = Summary(SessionInfo(), [blocked(f"a.py::test_{n:03}") for n in range(SHOWN + 5)])
    lines = texts(summary)
    named = [line for line in lines if line.startswith("  a.py::")]
    assert named == [f"  a.py::test_{n:03}" for n in range(SHOWN)]
    assert "  ... and 5 more (-v names all)" in lines
    assert sum(line.startswith("BLOCKED") for line in lines) == 1
    assert sum(line.startswith("  a.py::") for line in texts(summary, 1)) == SHOWN + 5


def test_many_groups_are_cut_short(blocked: Callable[..., TestResult]) -> None:
    """If each test was blocked for a reason of its own, the first are told."""
    tests = [blocked(f"t{n}", reason=f"reason {n}") for n in range(SHOWN + 4)]
    lines = texts(Summary(SessionInfo(), tests))
    assert sum(line.startswith("BLOCKED 1 test - ") for line in lines) == SHOWN
    assert "... and 4 more blocked for other reasons (see report)" in lines
