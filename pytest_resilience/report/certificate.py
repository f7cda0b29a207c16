"""The scorecard of a suite: what became of its tests under each fault.

Invariant: a test counts for a fault only if that really struck it, and only if it passes when
nothing is injected; what should fail is never a merit to have passed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any

from pytest_resilience.core.injection import (
    CATALOGUE,
    FailureType,
    Fault,
    Intensity,
    Need,
    Platform,
)
from pytest_resilience.report.files import write_whole
from pytest_resilience.report.templating import environment
from pytest_resilience.report.text import clean, seconds

#: Verdicts with which a test was lost to a fault.
_LOST = ("failed", "unrecovered", "blocked")
#: Needs that a suite may or may not meet, which shows when it is struck.
_PERHAPS = (Need.NOTHING, Need.WEBGL, Need.BIDI)

OK, LOST, RIGHTLY, UNTOUCHED, BROKEN = "ok", "lost", "fails as it should", "not struck", "no result"


def matrix(*, distributed: bool) -> tuple[Fault, ...]:
    """Return one fault for each type and intensity that any suite can be tried with.

    Args:
        distributed: Whether tests run in workers of pytest-xdist, which can be lost.
    """
    met = (*_PERHAPS, Need.XDIST) if distributed else _PERHAPS
    found: dict[tuple[FailureType, Intensity], Fault] = {}
    for fault in CATALOGUE:
        if fault.need in met:
            found.setdefault((fault.type, fault.intensity), fault)
    return tuple(found.values())


@dataclass(slots=True)
class Row:
    """What became of the tests under one fault.

    Attributes:
        expected: What the catalogue expects where tests were struck: survived, recovered or
            lost; several are separated by ", ".
        struck: Tests that were struck.
        survived: Struck tests that passed all the same, on the attempt that was struck.
        recovered: Struck tests that passed on a later attempt.
        recovery_s: Mean seconds that a recovered test took longer: recoveries, and attempts
            that had to be repeated.
        lost: Struck tests that did not pass.
        should_fail: Struck tests that should not pass, where they were struck.
        rightly: Those of them that were lost.
        tests: Node ids of those that were lost.
        reason: Why there is no result, "" if there is one.
    """

    type: str
    intensity: str
    expected: str
    struck: int = 0
    survived: int = 0
    recovered: int = 0
    recovery_s: float = 0.0
    lost: int = 0
    should_fail: int = 0
    rightly: int = 0
    tests: list[str] = field(default_factory=list)
    reason: str = ""

    @property
    def grade(self) -> str:
        """What that means."""
        if self.reason:
            return BROKEN
        if not self.struck:
            return UNTOUCHED
        if not self.lost:
            return OK
        return RIGHTLY if self.lost == self.rightly else LOST


@dataclass(slots=True)
class Certificate:
    """The scorecard.

    Attributes:
        tests: Tests that pass when nothing is injected: only these count.
        excluded: Node ids of those that do not.
        rows: One for each fault, in the order of the catalogue.
    """

    tests: int
    excluded: list[str]
    rows: list[Row]

    @property
    def good(self) -> bool:
        """Whether nothing was lost that should have been survived or recovered."""
        return bool(self.tests) and all(row.grade not in (LOST, BROKEN) for row in self.rows)

    @property
    def score(self) -> float | None:
        """Percent of the struck tests that were not lost, where they should not be."""
        counted = [row for row in self.rows if not row.reason]
        struck = sum(row.struck - row.should_fail for row in counted)
        if not struck:
            return None
        lost = sum(row.lost - row.rightly for row in counted)
        return round(100 * (1 - lost / struck), 1)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return {
            "schema": 1,
            "certified": self.good,
            "score": self.score,
            "tests": self.tests,
            "excluded": self.excluded,
            "faults": [{**asdict(row), "grade": row.grade} for row in self.rows],
        }

    def cells(self) -> tuple[list[str], list[list[str]]]:
        """Return the columns and the rows of the table that people read."""
        columns = ["failure", "intensity", "struck", "survived", "recovered", "in", "lost", "grade"]
        return columns, [
            [
                row.type,
                row.intensity,
                str(row.struck),
                str(row.survived),
                str(row.recovered),
                seconds(row.recovery_s) if row.recovered else "-",
                str(row.lost),
                f"{row.grade}: {row.reason}" if row.reason else row.grade,
            ]
            for row in self.rows
        ]


def healthy(baseline: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Return the node ids that pass when nothing is injected, and those that do not.

    Args:
        baseline: The JSON summary of that run. What is skipped is neither.
    """
    passing, others = [], []
    for test in baseline.get("tests", ()):
        if test["verdict"] == "passed":
            passing.append(test["nodeid"])
        elif test["verdict"] in (*_LOST, "recovered"):
            others.append(test["nodeid"])
    return passing, others


def row_of(
    fault: Fault,
    summary: Mapping[str, Any],
    counted: Iterable[str],
    platforms: Mapping[str, str] = MappingProxyType({}),
) -> Row:
    """Return what became of the tests `counted` under `fault`, by the JSON summary of its run.

    Args:
        platforms: By node id, where tests were struck: labels of `Platform`. What stands for the
            same type and intensity there may be another fault, of which another end is expected.
    """
    row = empty_row(fault)
    known, spent, expected = frozenset(counted), 0.0, set()
    for test in summary.get("tests", ()):
        attempts: Sequence[Mapping[str, Any]] = test["attempts"]
        if test["nodeid"] not in known or not any(a.get("injected") for a in attempts):
            continue
        outcome = _outcome_on(platforms.get(test["nodeid"], ""), fault)
        expected.add(outcome)
        row.struck += 1
        row.should_fail += outcome == "lost"
        if test["verdict"] in _LOST:
            row.lost += 1
            row.rightly += outcome == "lost"
            row.tests.append(test["nodeid"])
        elif test["verdict"] == "recovered":
            row.recovered += 1
            spent += sum(a.get("recovery_s") or 0.0 for a in attempts)
            spent += sum(a["duration_s"] for a in attempts[:-1])
        else:
            row.survived += 1
    row.recovery_s = round(spent / row.recovered, 3) if row.recovered else 0.0
    row.expected = ", ".join(sorted(expected)) or row.expected
    return row


def _outcome_on(label: str, fault: Fault) -> str:
    """Return what is expected where what stands for `fault` strikes."""
    for other in CATALOGUE:
        alike = (other.type, other.intensity) == (fault.type, fault.intensity)
        if alike and any(p.label == label for p in Platform if p in other.platforms):
            return other.outcome
    return fault.outcome


def empty_row(fault: Fault, reason: str = "") -> Row:
    """Return the row of `fault` without any test."""
    return Row(fault.type.value, fault.intensity.value, fault.outcome, reason=reason)


def write_certificate_json(
    certificate: Certificate, path: str | os.PathLike[str], *, option: str
) -> None:
    """Write the scorecard as JSON; raises ReportError if that cannot be done."""
    data = json.dumps(certificate.to_dict(), indent=2) + "\n"
    write_whole(path, data.encode("utf-8"), option=option)


def write_certificate_html(
    certificate: Certificate, path: str | os.PathLike[str], *, option: str
) -> None:
    """Write the scorecard as one HTML page; raises ReportError if that cannot be done."""
    write_whole(path, render(certificate).encode("utf-8"), option=option)


def render(certificate: Certificate) -> str:
    """Return the page: no script, and nothing of it asks the network for anything."""
    columns, cells = certificate.cells()
    rows = [
        {"cells": [clean(cell) for cell in line], "grade": row.grade, "tests": row.tests}
        for line, row in zip(cells, certificate.rows, strict=True)
    ]
    return (
        environment()
        .get_template("certificate.html.j2")
        .render(certificate=certificate, columns=columns, rows=rows)
    )
