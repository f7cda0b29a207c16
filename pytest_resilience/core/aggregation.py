"""Many errors, few causes: which errors are the same, and which share one root.

Invariant: no error is lost by being folded into another (its id stays findable), and a
hook of others can neither stop nor change what is recorded.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import replace

from pytest_resilience.core.failures import ErrorReport, ErrorType
from pytest_resilience.core.statement import signature_text

ErrorHook = Callable[[ErrorReport], object]

#: What differs between two occurrences of one error, and what stands for it.
_VOLATILE = (
    (re.compile(r"[\"`´‘’“”„]"), "'"),
    (re.compile(r"\b([a-z][a-z+.-]*)://[^\s/'<>()]+", re.IGNORECASE), r"\1://<host>"),
    (re.compile(r"\bhost='[^']*'"), "host='<host>'"),
    (re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b"), "<host>"),
    (re.compile(r"\b\d{4}-\d\d-\d\d(?:[T ][\d:.,]+(?:Z|[+-][\d:]+)?)?"), "<time>"),
    (re.compile(r"\b\d\d?:\d\d(?::\d\d(?:[.,]\d+)?)?\b"), "<time>"),
    (re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", re.IGNORECASE), "<id>"),
    (re.compile(r"\b0x[0-9a-f]+\b|\b(?=\w*\d)[0-9a-f]{8,}\b", re.IGNORECASE), "<id>"),
    (re.compile(r"(?<![\w>/])(?:[a-z]:)?(?:[\\/][\w.@+~-]+){2,}[\\/]?", re.IGNORECASE), "<path>"),
    (re.compile(r"-?\d+(?:[.,]\d+)*"), "#"),
    (re.compile(r"\s+"), " "),
)

#: Types that one outage of an endpoint makes of what runs into it.
_OUTAGE_TYPES = frozenset(
    {
        ErrorType.CONNECTION,
        ErrorType.COORDINATOR,
        ErrorType.WORKER,
        ErrorType.DRIVER,
        ErrorType.TIMEOUT,
        ErrorType.CIRCUIT_OPEN,
    }
)
_STATUSES = ("open", "retrying", "resolved", "failed")


def fingerprint(error_type: ErrorType, exception: str, message: str) -> str:
    """Return what all occurrences of one error have in common, as a short stable id.

    Ids, addresses, hosts, ports, process ids, numbers, times, file paths and the style of
    quotes do not count; the path of a URL does.
    """
    text = "\n".join([error_type.label, exception, normalise(message)])
    digest = hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()
    return f"{error_type.label}-{digest[:16]}"


def normalise(message: str) -> str:
    """Return `message` without its volatile parts and without stack traces."""
    text = signature_text(message)
    for pattern, stand_in in _VOLATILE:
        text = pattern.sub(stand_in, text)
    return text.strip()


class ErrorHooks:
    """Functions that want to hear of errors, of one type or of all."""

    def __init__(self) -> None:
        self._hooks: list[tuple[ErrorType | None, ErrorHook]] = []
        self._failures: list[str] = []

    @property
    def failures(self) -> tuple[str, ...]:
        """One line for each time a hook raised."""
        return tuple(self._failures)

    def register(self, error_type: ErrorType | str, hook: ErrorHook) -> None:
        """Call `hook` with every report of `error_type`, or with every one for ``"*"``.

        Args:
            error_type: A member, its label, or ``"*"``.

        Raises:
            ValueError: There is no error type of that label; names the valid ones.
        """
        if isinstance(error_type, str):
            wanted = None if error_type == "*" else ErrorType.from_label(error_type)
        else:
            wanted = error_type
        self._hooks.append((wanted, hook))

    def call(self, report: ErrorReport) -> None:
        """Show a copy of `report` to every hook that wants it; what they raise is kept."""
        for wanted, hook in tuple(self._hooks):
            if wanted not in (None, report.error_type):
                continue
            try:
                hook(replace(report, related_errors=list(report.related_errors)))
            except Exception as error:  # noqa: BLE001 - a hook must not stop the record
                self._failures.append(f"{_name(hook)}: {type(error).__name__}: {error}")


#: Where conftest files register their hooks, before there is a run to register them with.
ERROR_HOOKS = ErrorHooks()


def register_error_hook(error_type: ErrorType | str, hook: ErrorHook) -> None:
    """Call `hook` with every diagnosed error of `error_type`, or with all for ``"*"``.

    Args:
        error_type: A member, its label, or ``"*"``.

    Raises:
        ValueError: There is no error type of that label; names the valid ones.
    """
    ERROR_HOOKS.register(error_type, hook)


class ErrorLog:
    """All errors of a run, folded and related.

    Errors with the same fingerprint are folded into the first of them. Errors of
    different kinds that meet one broken endpoint are related to the first of them, their
    root, until that is resolved.

    Args:
        hooks: Who wants to hear of errors; None for nobody yet.
    """

    def __init__(self, hooks: ErrorHooks | None = None) -> None:
        self._reports: dict[str, ErrorReport] = {}
        self._folded_into: dict[str, str] = {}
        self._by_fingerprint: dict[str, str] = {}
        self._root_of_endpoint: dict[str, str] = {}
        self._root_of_report: dict[str, str] = {}
        self._hooks = ErrorHooks() if hooks is None else hooks

    def __iter__(self) -> Iterator[ErrorReport]:
        return iter(self._reports.values())

    def __len__(self) -> int:
        return len(self._reports)

    @property
    def hook_failures(self) -> tuple[str, ...]:
        """One line for each time a hook raised."""
        return self._hooks.failures

    @property
    def roots(self) -> tuple[ErrorReport, ...]:
        """Reports that are not explained by another one."""
        return tuple(r for r in self if r.error_id not in self._root_of_report)

    def register_error_hook(self, error_type: ErrorType | str, hook: ErrorHook) -> None:
        """Call `hook` with every report of `error_type`, or with every one for ``"*"``.

        Args:
            error_type: A member, its label, or ``"*"``.

        Raises:
            ValueError: There is no error type of that label; names the valid ones.
        """
        self._hooks.register(error_type, hook)

    def add(self, report: ErrorReport) -> ErrorReport:
        """Record `report`; return the one that stands for it, itself or an earlier one."""
        known = self._find(report.error_id)
        if known is not None:
            return known
        same = fingerprint(report.error_type, report.exception, report.message)
        key = f"{same} {report.context.endpoint if _is_outage(report) else ''}"
        first = self._open_report(self._by_fingerprint.get(key))
        if first is None:
            self._by_fingerprint[key] = report.error_id
            self._reports[report.error_id] = first = report
            self._relate(report)
        else:
            self._folded_into[report.error_id] = first.error_id
            first.aggregated_count += report.aggregated_count
            _refer(first, report.error_id)
            _refer(self.root_of(first.error_id), report.error_id)
        self._hooks.call(report)
        return first

    def get(self, error_id: str) -> ErrorReport:
        """Return the report that stands for `error_id`; raises KeyError if unknown."""
        report = self._find(error_id)
        if report is None:
            raise KeyError(error_id)
        return report

    def root_of(self, error_id: str) -> ErrorReport:
        """Return the report of the cause behind `error_id`; raises KeyError if unknown."""
        report = self.get(error_id)
        return self._reports[self._root_of_report.get(report.error_id, report.error_id)]

    def set_status(self, error_id: str, status: str) -> ErrorReport:
        """Set the resolution status of the report that stands for `error_id`.

        A ``resolved`` report takes no more errors in: the next one of its kind is a new
        report, and what meets its endpoint then has another root.

        Raises:
            KeyError: No error of that id was recorded.
            ValueError: `status` is none of open, retrying, resolved, failed.
        """
        if status not in _STATUSES:
            raise ValueError(f"unknown status {status!r}; valid ones: {', '.join(_STATUSES)}")
        report = self.get(error_id)
        report.resolution_status = status
        return report

    def _find(self, error_id: str) -> ErrorReport | None:
        return self._reports.get(self._folded_into.get(error_id, error_id))

    def _open_report(self, error_id: str | None) -> ErrorReport | None:
        report = None if error_id is None else self._reports[error_id]
        if report is None or report.resolution_status == "resolved":
            return None
        return report

    def _relate(self, report: ErrorReport) -> None:
        if not _is_outage(report):
            return
        endpoint = report.context.endpoint
        root = self._open_report(self._root_of_endpoint.get(endpoint))
        if root is None:
            self._root_of_endpoint[endpoint] = report.error_id
            return
        self._root_of_report[report.error_id] = root.error_id
        _refer(root, report.error_id)
        _refer(report, root.error_id)


def _is_outage(report: ErrorReport) -> bool:
    return report.error_type in _OUTAGE_TYPES and bool(report.context.endpoint)


def _refer(report: ErrorReport, error_id: str) -> None:
    if error_id not in report.related_errors:
        report.related_errors.append(error_id)


def _name(hook: ErrorHook) -> str:
    return getattr(hook, "__qualname__", type(hook).__name__)
