"""Which errors are the same, which share a root, and who is told."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.core.aggregation import ErrorLog, fingerprint, normalise
from pytest_resilience.core.failures import ErrorContext, ErrorReport, ErrorSeverity, ErrorType

GRID = "http://grid.example:4444"


def report(
    error_id: str,
    error_type: ErrorType = ErrorType.BROWSER,
    message: str = "tab crashed",
    endpoint: str = "",
    **rest: Any,
) -> ErrorReport:
    return ErrorReport(
        error_id=error_id,
        error_type=error_type,
        error_severity=ErrorSeverity.HIGH,
        message=message,
        context=ErrorContext(nodeid=f"test_it.py::test_{error_id}", endpoint=endpoint),
        exception="WebDriverException",
        **rest,
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("port=40111", "port=52222"),
        ("session 0123456789abcdef0123456789abcdef", "session fedcba9876543210fedcba9876543210"),
        (
            "id 65e7f82a-cc76-18fe-4efd-f3571d6a160f",
            "id 00000000-cc76-18fe-4efd-f3571d6a1aaa",
        ),
        ("object at 0x7ff83bb54d90", "object at 0x7ff83bb5aaaa"),
        ("pid 17 died", "pid 4242 died"),
        ("no /tmp/a1/profile", "no /var/lib/b2/profile"),
        ("no C:\\Users\\a\\profile", "no D:\\Temp\\b\\profile"),
        ("at http://a.example:80/cart", "at http://b.example:8080/cart"),
        ("ws://127.0.0.1:9222/devtools", "ws://127.0.0.1:9333/devtools"),
        ("peer 10.0.0.1:80", "peer 192.168.7.20:8080"),
        ("at 2024-01-02T10:11:12.5Z", "at 2025-11-12T01:01:01.123Z"),
        ("at 10:11:12", "at 23:59:59"),
        ("took 3.998 s", "took 10.001 s"),
        ('element "save"', "element 'save'"),
        ("two  spaces\nhere", "two spaces here"),
        ("tab crashed\nStacktrace:\n#0 0x1", "tab crashed\nStacktrace:\n#0 0x2\n#1 0x3"),
    ],
    ids=lambda text: text[:18],
)
def test_volatile_parts_do_not_count(one: str, other: str) -> None:
    """Two occurrences of one error have one fingerprint."""
    assert normalise(one) == normalise(other)
    assert fingerprint(ErrorType.DRIVER, "E", one) == fingerprint(ErrorType.DRIVER, "E", other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((ErrorType.DRIVER, "E", "lost"), (ErrorType.BROWSER, "E", "lost")),
        ((ErrorType.DRIVER, "E", "lost"), (ErrorType.DRIVER, "F", "lost")),
        ((ErrorType.DRIVER, "E", "lost"), (ErrorType.DRIVER, "E", "found")),
        (
            (ErrorType.PAGE, "E", "at http://a.example/cart"),
            (ErrorType.PAGE, "E", "at http://a.example/login"),
        ),
    ],
    ids=["type", "exception", "message", "page"],
)
def test_what_differs_in_kind_has_another_fingerprint(one: Any, other: Any) -> None:
    """The type, the exception, the words and the page tell errors apart."""
    assert fingerprint(*one) != fingerprint(*other)


@given(st.text())
def test_any_text_has_a_fingerprint(message: str) -> None:
    """No text breaks it, and it is the same each time."""
    first = fingerprint(ErrorType.PAGE, "E", message)
    assert first == fingerprint(ErrorType.PAGE, "E", message)
    assert first.startswith("page-")


def test_lone_surrogate_has_a_fingerprint() -> None:
    """Half a character from a page does not break it."""
    assert fingerprint(ErrorType.PAGE, "E", "\ud800")


def test_same_errors_are_folded_into_the_first() -> None:
    """Three crashes are one report that counts three, and each id leads to it."""
    log = ErrorLog()
    first = report("a")
    assert log.add(first) is first
    assert log.add(report("b")) is first
    assert log.add(report("c")) is first
    assert (len(log), first.aggregated_count) == (1, 3)
    assert first.related_errors == ["b", "c"]
    assert log.get("c") is first


def test_adding_a_report_twice_counts_once() -> None:
    """An error that is reported again under its own id is the same one."""
    log = ErrorLog()
    log.add(report("a"))
    log.add(report("b"))
    assert log.add(report("b")).aggregated_count == 2


def test_different_errors_stay_apart() -> None:
    """What is not the same is neither folded nor related."""
    log = ErrorLog()
    log.add(report("a"))
    other = log.add(report("b", message="chrome not reachable"))
    assert len(log) == 2
    assert other.related_errors == []
    assert log.root_of("b") is other


OUTAGE = [
    (ErrorType.COORDINATOR, "Connection refused"),
    (ErrorType.CONNECTION, "Read timed out"),
    (ErrorType.WORKER, "Unable to execute request for an existing session"),
    (ErrorType.COORDINATOR, "New session request timed out"),
]


def test_one_outage_is_one_root_and_many_references() -> None:
    """Forty failures of four kinds at one endpoint have one root that names the others."""
    log = ErrorLog()
    ids = [f"e{number}" for number in range(40)]
    for number, error_id in enumerate(ids):
        error_type, message = OUTAGE[number % len(OUTAGE)]
        log.add(report(error_id, error_type, message, GRID))
    (root,) = log.roots
    assert root.error_id == "e0"
    assert sorted(root.related_errors) == sorted(ids[1:])
    assert all(log.root_of(error_id) is root for error_id in ids)
    assert sum(each.aggregated_count for each in log) == 40


def test_other_endpoint_has_its_own_root() -> None:
    """Two grids that fail are two outages, even with the same words."""
    log = ErrorLog()
    log.add(report("a", ErrorType.COORDINATOR, "refused", GRID))
    log.add(report("b", ErrorType.COORDINATOR, "refused", "http://other.example:4444"))
    assert [each.error_id for each in log.roots] == ["a", "b"]


@pytest.mark.parametrize(
    "error_type", [ErrorType.PRODUCT, ErrorType.PAGE, ErrorType.BROWSER], ids=lambda t: t.label
)
def test_outage_explains_no_other_kind_of_error(error_type: ErrorType) -> None:
    """A product failure during an outage is not explained by it."""
    log = ErrorLog()
    log.add(report("a", ErrorType.COORDINATOR, "refused", GRID))
    log.add(report("b", error_type, "wrong title", GRID))
    assert len(log.roots) == 2


def test_resolved_outage_takes_no_more_in() -> None:
    """What fails after the recovery is a new outage; the old relations stay."""
    log = ErrorLog()
    first = log.add(report("a", ErrorType.COORDINATOR, "refused", GRID))
    log.add(report("b", ErrorType.CONNECTION, "timed out", GRID))
    log.set_status("a", "resolved")
    later = log.add(report("c", ErrorType.COORDINATOR, "refused", GRID))
    assert later.error_id == "c"
    assert log.roots == (first, later)
    assert log.root_of("b") is first


def test_status_of_a_folded_error_is_that_of_its_report() -> None:
    """Any of the ids resolves the whole."""
    log = ErrorLog()
    first = log.add(report("a"))
    log.add(report("b"))
    log.set_status("b", "resolved")
    assert first.resolution_status == "resolved"


def test_unknown_status_is_refused_with_the_valid_ones() -> None:
    """A misspelt status says what can be written instead."""
    log = ErrorLog()
    log.add(report("a"))
    with pytest.raises(ValueError, match=r"'fixed'.*open, retrying, resolved, failed"):
        log.set_status("a", "fixed")


def test_unknown_error_is_a_key_error() -> None:
    """What was never recorded has no report."""
    with pytest.raises(KeyError):
        ErrorLog().get("nowhere")


def test_hooks_are_told_of_their_type_or_of_everything() -> None:
    """A hook hears of each error of its type, folded ones too; "*" hears of all."""
    log = ErrorLog()
    heard: dict[str, list[str]] = {"all": [], "browser": [], "page": []}
    log.register_error_hook("*", lambda r: heard["all"].append(r.error_id))
    log.register_error_hook("browser", lambda r: heard["browser"].append(r.error_id))
    log.register_error_hook(ErrorType.PAGE, lambda r: heard["page"].append(r.error_id))
    for each in (report("a"), report("b"), report("c", ErrorType.PAGE)):
        log.add(each)
    assert heard == {"all": ["a", "b", "c"], "browser": ["a", "b"], "page": ["c"]}


def test_hook_that_raises_is_contained_and_named() -> None:
    """The error is recorded, the next hook is called, and the failure can be shown."""
    log = ErrorLog()
    heard: list[str] = []

    def broken(error: ErrorReport) -> None:
        raise RuntimeError("pager is down")

    log.register_error_hook("*", broken)
    log.register_error_hook("*", lambda r: heard.append(r.error_id))
    log.add(report("a"))
    assert heard == ["a"]
    assert len(log) == 1
    (line,) = log.hook_failures
    assert "broken" in line
    assert "pager is down" in line


def test_hook_cannot_change_what_is_recorded() -> None:
    """A hook gets a copy."""
    log = ErrorLog()

    def meddle(error: ErrorReport) -> None:
        error.resolution_status = "resolved"
        error.related_errors.append("x")

    log.register_error_hook("*", meddle)
    first = log.add(report("a"))
    assert (first.resolution_status, first.related_errors) == ("open", [])


def test_hook_for_an_unknown_type_is_refused_with_the_valid_ones() -> None:
    """A misspelt type would never be called: it is named at once."""
    with pytest.raises(ValueError, match=r"'brwser'.*browser"):
        ErrorLog().register_error_hook("brwser", print)
