"""Who is to blame for a command that hangs: told by what still answers."""

from __future__ import annotations

import pytest

from pytest_resilience.browser import hangs, latch, probes
from pytest_resilience.browser.watchdog import Hang
from pytest_resilience.core.classifier import classify
from pytest_resilience.core.evidence import (
    DEVTOOLS,
    DRIVER_STATUS,
    GRID,
    NODE,
    Evidence,
    ProbeResult,
)
from pytest_resilience.core.failures import Failure

ALL_HEARD = frozenset({GRID, NODE, DRIVER_STATUS, DEVTOOLS})


# Who is to blame


def found(*answers: str) -> Evidence:
    """Return evidence of words such as ``node=silent``."""
    pairs = (word.partition("=") for word in answers)
    return Evidence(ProbeResult(name, answer, "pid 7") for name, _, answer in pairs)


@pytest.mark.parametrize(
    ("answers", "text"),
    [
        pytest.param(("driver_status=ok", "devtools=ok"), "", id="all-well"),
        pytest.param((), "", id="nothing-known"),
        pytest.param(("driver_process=stopped",), "the driver process (pid 7) is stopped", id="d"),
        pytest.param(
            ("driver_process=alive", "browser_process=stopped"),
            "the browser process (pid 7) is stopped",
            id="browser-stopped",
        ),
        pytest.param(
            ("renderer_process=stopped",), "a tab of the browser (pid 7) is stopped", id="tab"
        ),
        pytest.param(
            ("gpu_process=stopped",), "the graphics process (pid 7) is stopped", id="graphics"
        ),
        pytest.param(("renderer_process=busy",), "", id="a-page-that-computes"),
        pytest.param(
            ("browser_process=gone", "devtools=refused"),
            "the browser process (pid 7) is gone",
            id="browser-gone",
        ),
        pytest.param(
            ("browser_process=gone", "devtools=ok"), "", id="only-what-started-the-browser-is-gone"
        ),
        pytest.param(
            ("driver_process=zombie", "devtools=ok"),
            "the driver process (pid 7) is zombie",
            id="driver-dead",
        ),
        pytest.param(("driver_status=silent",), "the driver does not answer", id="driver-silent"),
        pytest.param(("driver_status=error",), "", id="a-driver-that-answers-nonsense"),
        pytest.param(
            ("driver_status=ok", "devtools=silent"),
            "the browser does not answer to DevTools",
            id="browser-silent",
        ),
        pytest.param(
            ("grid=silent", "node=silent", "driver_status=silent", "devtools=silent"),
            "the grid at there does not answer",
            id="behind-a-silent-grid-all-is-silent",
        ),
        pytest.param(
            ("grid=ok", "node=silent", "driver_status=silent", "devtools=silent"),
            "the node that holds the session does not answer",
            id="behind-a-silent-node-too",
        ),
        pytest.param(("grid=dead",), "the grid at there has lost the session", id="session-lost"),
        pytest.param(("grid=empty",), "the grid at there has no node that is up", id="no-node"),
        pytest.param(("grid=ok", "node=dead"), "the node pid 7 is down", id="node-down"),
    ],
)
def test_the_culprit_is_named(answers: tuple[str, ...], text: str) -> None:
    cause = hangs.cause_of(found(*answers), ALL_HEARD, "there")
    assert (cause.text if cause is not None else "") == text


@pytest.mark.parametrize("probe", sorted(ALL_HEARD))
def test_what_never_answered_is_not_to_blame_for_silence(probe: str) -> None:
    """A firewall may swallow the question; a slow page behind it must not be cut off."""
    evidence = found(f"{probe}=silent")
    assert hangs.cause_of(evidence, ALL_HEARD - {probe}) is None
    assert hangs.cause_of(evidence, ALL_HEARD) is not None


@pytest.mark.parametrize(
    "answers",
    [
        ("driver_process=stopped",),
        ("browser_process=stopped",),
        ("renderer_process=stopped",),
        ("gpu_process=stopped",),
        ("grid=silent",),
        ("grid=dead",),
        ("node=dead",),
        ("node=silent",),
        ("driver_status=silent",),
        ("devtools=silent",),
    ],
    ids=lambda answers: answers[0],
)
@pytest.mark.parametrize("remote", [True, False], ids=["remote", "local"])
def test_every_culprit_is_understood_by_the_classifier(
    answers: tuple[str, ...], remote: bool
) -> None:
    """From the message alone, and when a later failure of that session is laid to it."""
    cause = hangs.cause_of(found(*answers), ALL_HEARD, "http://grid")
    assert cause is not None
    error = hangs.CommandHung(Hang(1, "get", 9.1, cause, found(*answers)))
    fact = latch.fact_of(error)
    assert latch.is_worth_keeping(fact)
    judged = classify(Failure("t", "call", (fact,), remote=remote), Evidence())
    assert judged.rule.startswith("hung-")
    assert judged.error_type.infrastructure
    assert latch.label_of(fact) == judged.error_type.label


def test_the_silence_behind_a_silent_grid_is_no_evidence() -> None:
    """Neither driver nor browser need be broken: nobody could ask them."""
    evidence = found("grid=silent", "node=silent", "driver_status=silent", "devtools=silent")
    cause = hangs.cause_of(evidence, ALL_HEARD)
    assert cause is not None
    told = hangs.without_consequences(evidence, cause)
    assert [result.probe for result in told] == ["grid"]
    assert not probes.broken(told)
