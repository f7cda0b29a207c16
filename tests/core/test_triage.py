"""Recorded failures in, diagnoses and confusion matrices out."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.core.failures import ErrorType
from pytest_resilience.core.triage import Confusion, confusion, evidence_of, failure_of, triage

CRASH = {"id": "r1", "exc_type": "WebDriverException", "message": "Message: tab crashed"}
FIELDS = ["id", "error_type", "layer", "infrastructure", "confidence", "rule", "recovery"]


def test_answer_has_the_documented_fields() -> None:
    """One row in, one plain dict out."""
    found = triage(CRASH)
    assert list(found) == FIELDS
    assert (found["id"], found["layer"], found["infrastructure"]) == ("r1", "browser", True)


def test_message_alone_is_enough() -> None:
    """All fields but the message may be missing."""
    assert triage({"message": "chrome not reachable"})["error_type"] == "browser"


def test_labels_are_no_input() -> None:
    """A wrong label changes nothing."""
    labels = {"layer": "product", "true_layer": "product", "infrastructure": False,
              "driver_alive": False, "session_alive": False, "cheapest_recovery": "none",
              "injection": "SIGKILL"}  # fmt: skip
    assert triage({**CRASH, **labels}) == triage(CRASH)


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
keys = st.sampled_from(
    ["id", "exc_type", "exc_mro", "message", "command", "probes", "browser", "layer",
     "true_layer", "infrastructure"]
)  # fmt: skip
probe_names = st.sampled_from(
    ["driver_proc", "browser_proc", "renderers", "gpu_proc", "drv_status", "sess_js",
     "devtools_version", "grid", "ok", "err", "ready", "nodes", "up", "session", "page"]
)  # fmt: skip


@given(st.dictionaries(keys, junk | st.dictionaries(probe_names, junk)) | junk)
def test_broken_rows_do_not_raise(row: Any) -> None:
    """Whatever stands in a row, there is a diagnosis with a reason, and a matrix."""
    found = triage(row)
    assert found["rule"]
    assert isinstance(confusion([row]).render(), str)


@pytest.mark.parametrize(
    ("written", "first"),
    [
        ("selenium.common.NoSuch", "selenium.common.NoSuch"),
        ("playwright TimeoutError", "playwright.TimeoutError"),
        ("urllib3.ReadTimeoutError / TimeoutError: timed out", "urllib3.ReadTimeoutError"),
        ("NoSuchSessionError (cause UnknownError)", "NoSuchSessionError"),
        ("ConnectionRefusedError", "builtins.ConnectionRefusedError"),
    ],
)  # fmt: skip
def test_exception_names_are_read_as_people_write_them(written: str, first: str) -> None:
    """Old logs and threads name an exception in many ways."""
    assert failure_of({"exc_type": written}).chain[0].mro[0] == first


OK = {"ok": True, "ms": 1.0}
REFUSED = {"ok": False, "err": "ConnectionRefusedError: [Errno 111] Connection refused"}
SILENT = {"ok": False, "err": "TimeoutError: timed out"}


@pytest.mark.parametrize(
    ("probes", "probe", "answer"),
    [
        ({"driver_proc": "sleeping"}, "driver_process", "alive"),
        ({"driver_proc": "running"}, "driver_process", "alive"),
        ({"browser_proc": "stopped"}, "browser_process", "stopped"),
        ({"browser_proc": "zombie"}, "browser_process", "zombie"),
        ({"browser_proc": "gone"}, "browser_process", "gone"),
        ({"gpu_proc": None}, "gpu_process", "unasked"),
        ({"renderers": ["gone", "sleeping"]}, "renderer_process", "alive"),
        ({"renderers": ["gone", "running"]}, "renderer_process", "busy"),
        ({"renderers": ["stopped", "running"]}, "renderer_process", "stopped"),
        ({"renderers": ["gone", "zombie"]}, "renderer_process", "zombie"),
        ({"renderers": []}, "renderer_process", "unasked"),
        ({"drv_status": OK}, "driver_status", "ok"),
        ({"drv_status": REFUSED}, "driver_status", "refused"),
        ({"drv_status": SILENT}, "driver_status", "silent"),
        ({"devtools_version": SILENT}, "devtools", "silent"),
        ({"sess_js": OK}, "session", "ok"),
        ({"sess_js": {"ok": False, "err": "500 tab crashed: tab crashed"}}, "session", "crashed"),
        ({"sess_js": {"ok": False, "err": "404 invalid session id: x"}}, "session", "dead"),
        ({"sess_js": {"ok": False, "err": "500 unexpected alert open"}}, "session", "error"),
        ({"ok": True, "ready": True, "nodes": [["UP", 0]]}, "grid", "ok"),
        ({"ok": True, "ready": False, "nodes": [["UP", 1]]}, "grid", "busy"),
        ({"ok": True, "ready": False, "nodes": [["DOWN", 1]]}, "grid", "empty"),
        ({"ok": True, "ready": False, "nodes": []}, "grid", "empty"),
        ({"grid": {"ok": True, "ready": True, "nodes": [["UP", 0]]}}, "grid", "ok"),
        ({**SILENT, "up": 0}, "grid", "silent"),
        ({**REFUSED, "up": 0}, "grid", "refused"),
        ({"page": "error_page"}, "page", "error_page"),
        (None, "session", "unasked"),
        ("nonsense", "session", "unasked"),
    ],
    ids=str,
)
def test_recorded_probes_become_evidence(probes: Any, probe: str, answer: str) -> None:
    """Each recorded answer is one of our words; what is missing stays unasked."""
    assert evidence_of(probes).answer(probe) == answer


def test_confusion_counts_layers_and_yes_no() -> None:
    """Right and wrong rows are told apart, and rows without a label are left out."""
    rows = [
        {**CRASH, "layer": "browser", "infrastructure": True},
        {**CRASH, "layer": "host", "infrastructure": True},
        {**CRASH, "id": "excused", "layer": "product", "infrastructure": False},
        {**CRASH, "true_layer": "browser", "infrastructure": None},
        {**CRASH, "true_layer": "unknown"},
        CRASH,
    ]
    found = confusion(rows)
    assert sum(found.layers.values()) == 4
    assert found.layer_accuracy == 0.5
    assert sum(found.infrastructure.values()) == 3
    assert found.infrastructure_accuracy == pytest.approx(2 / 3)
    assert found.excused == ["excused"]
    text = found.render()
    assert "50.0% of 4" in text
    assert "excused" in text


def test_no_labels_is_no_matrix() -> None:
    """Without labels there is nothing to compare, and no share of it."""
    found = confusion([CRASH])
    assert not found
    assert found.layer_accuracy is None
    assert found.infrastructure_accuracy is None
    assert found.render() == "no labelled rows\n"


def test_empty_confusion_is_false() -> None:
    """A fresh matrix is empty."""
    assert not Confusion()


def test_every_error_type_has_one_of_the_eight_layers() -> None:
    """Layers of diagnoses and of labels are the same words."""
    assert {member.layer for member in ErrorType} == {
        "product", "page", "test-code", "browser", "driver", "grid", "host", "network",
    }  # fmt: skip
