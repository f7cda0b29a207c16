"""Whatever is raised, however strange or large, has a diagnosis."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.core.classifier import classify
from pytest_resilience.core.evidence import Evidence, ProbeResult
from pytest_resilience.core.failures import ErrorType, ExceptionFact, Failure
from tests.core.sayings import HEALTHY, INFRASTRUCTURE_WORDS, NOBODY_ASKED, diagnose

from .failures_of import fact, failure

PIECES = [
    *INFRASTRUCTURE_WORDS, "", "Message: ", "invalid session id", "\n", "(", "[", "\\", "\x00",
    "\ud800", "host='localhost'", "/session/", "service ", "unexpectedly exited", "é",
    "Stacktrace:",
]  # fmt: skip
NAMES = [
    "AssertionError", "KeyError", "OSError", "WebDriverException", "TimeoutException",
    "InvalidSessionIdException", "NoSuchElementException", "urllib3.ReadTimeoutError",
    "requests.exceptions.ConnectionError", "playwright.Error", "Failed", "my.Error", "",
]  # fmt: skip
ANSWERS = [
    "unasked", "alive", "gone", "zombie", "stopped", "busy", "ok", "refused", "silent", "error",
    "crashed", "dead", "vanished", "error_page", "gateway", "server_error", "empty", "short",
    "closed", "browser", "nonsense",
]  # fmt: skip
PROBES = [
    "browser_process", "renderer_process", "gpu_process", "driver_process", "driver_status",
    "session", "devtools", "page", "target", "grid", "host", "latch", "my_probe",
]  # fmt: skip

texts = st.lists(st.sampled_from(PIECES) | st.text(max_size=20), max_size=6).map("".join)
facts = st.builds(
    fact,
    st.sampled_from(NAMES),
    texts,
    st.sampled_from(["raised", "cause", "context", "member", "nonsense"]),
    st.sampled_from(["", "selenium/webdriver/support/wait.py:until"]),
)
failures = st.builds(
    lambda chain, command, remote: failure(*chain, command=command, remote=remote),
    st.lists(facts, max_size=8),
    st.sampled_from(["", "get", "newSession", "quit", "w3cExecuteScript"]) | st.text(max_size=9),
    st.booleans(),
)
evidences = st.dictionaries(st.sampled_from(PROBES), st.sampled_from(ANSWERS)).map(
    lambda answers: Evidence(ProbeResult(p, a) for p, a in answers.items())
)


@given(failures, evidences)
def test_any_failure_has_a_diagnosis_with_a_reason(said: Failure, found: Evidence) -> None:
    """Whatever is thrown at it, the classifier answers, says why, and is not broken itself."""
    diagnosis = classify(said, found)
    assert diagnosis.rule
    assert not diagnosis.rule.startswith("classifier-failed")
    assert 0 <= diagnosis.confidence <= 1
    assert (diagnosis.recovery == "none") <= (not diagnosis.error_type.infrastructure)


@given(texts, st.sampled_from(["raised", "cause"]))
def test_a_lone_assertion_is_never_infrastructure(message: str, relation: str) -> None:
    """No text makes an assertion in a healthy browser anything but the product's."""
    said = fact("AssertionError", message, relation)
    assert diagnose(said, evidence=HEALTHY).error_type is ErrorType.PRODUCT
    assert diagnose(said).error_type is ErrorType.PRODUCT


@given(failures, evidences)
def test_diagnosis_is_repeatable(said: Failure, found: Evidence) -> None:
    """The same failure and evidence have the same diagnosis."""
    assert classify(said, found) == classify(said, found)


class Hostile:
    """A value that cannot be written."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    "message",
    [None, 7, b"tab crashed", ["tab crashed"], Hostile()],
    ids=["none", "number", "bytes", "list", "hostile"],
)
def test_message_that_is_no_text_does_not_raise(message: Any) -> None:
    """Values of wrong types are diagnosed as well as may be."""
    said = ExceptionFact(("selenium.common.exceptions.WebDriverException",), message)
    assert diagnose(said).rule


@pytest.mark.parametrize("chain", [None, 7, "text", (None,), ({},)], ids=repr)
def test_chain_that_is_none_does_not_raise(chain: Any) -> None:
    """Even what is no chain at all has a diagnosis."""
    said = Failure("test_it.py::test_it", "call", chain)
    found = classify(said, NOBODY_ASKED)
    assert found.rule
    assert not found.error_type.infrastructure


def seconds(work: Callable[[], object]) -> float:
    """Return the best of three times, in seconds of this thread on a processor."""
    times = []
    for _ in range(3):
        begun = time.thread_time()
        work()
        times.append(time.thread_time() - begun)
    return min(times)


@pytest.mark.parametrize(
    "piece",
    ["x", " ", "host='localhost' /session/ ", "service ", "unable to find session reason: ",
     "crash ", "circuit ", "timeout ", "(get http", "session not created ", "\n"],
    ids=str.strip,
)  # fmt: skip
def test_huge_message_costs_no_more_than_its_beginning(piece: str) -> None:
    """A page source of a megabyte in a message does not hold up the run."""
    huge = fact("WebDriverException", piece * (1_000_000 // len(piece)))
    short = fact("WebDriverException", huge.message[:4_000])
    assert seconds(lambda: diagnose(huge)) < 10 * seconds(lambda: diagnose(short)) + 0.05
