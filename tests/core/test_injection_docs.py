"""The reference page of failures to inject says what the catalogue says."""

from __future__ import annotations

import pytest

from pytest_resilience.core.circuit_record import CircuitState
from pytest_resilience.core.injection import (
    BROWSERS,
    CATALOGUE,
    DEVTOOLS,
    EVERYWHERE,
    FOXES,
    GRID,
    LOCAL,
    FailureType,
    Fault,
    Intensity,
    Need,
    spelled,
)
from pytest_resilience.core.injection_gate import allowed
from pytest_resilience.core.injection_plan import ARGUMENTS, RANDOM
from pytest_resilience.core.injection_points import COMMANDS, MOMENTS, PHASES, Point
from tests.docs.pages import DOCS, sections, table, tables

PAGE = DOCS / "reference" / "failure-types.md"
OUTCOMES = {"survived": "passes", "recovered": "recovered", "lost": "fails"}


#: Groups of platforms in fewer words than all their names.
GROUPS = {
    EVERYWHERE: "everywhere",
    BROWSERS: "every browser",
    LOCAL: "Chromium, Firefox",
    GRID: "any browser on a Grid",
    DEVTOOLS: "Chromium, also on a Grid",
    FOXES: "Firefox, also on a Grid",
}


def row(fault: Fault) -> dict[str, str]:
    """Return the row of a fault."""
    needs = "" if fault.need is Need.NOTHING else f" Needs {fault.need.value}."
    return {
        "intensity": fault.intensity.value,
        "fault": fault.name,
        "where": GROUPS.get(fault.platforms, fault.platforms.label),
        "what happens": fault.meaning + needs,
        "ends": end(fault),
        "during a command": "yes" if fault.during else "no",
        "diagnosed as": ", ".join(error.label for error in fault.errors) or "-",
        "with --resilience": OUTCOMES[fault.outcome],
    }


def end(fault: Fault) -> str:
    """Return when a fault is over."""
    if fault.lasts_s is None:
        return "with the attempt"
    return f"after {fault.lasts_s:g} s" if fault.lasts_s else "at once"


@pytest.mark.parametrize("kind", list(FailureType), ids=lambda kind: kind.value)
def test_the_section_of_a_type_lists_its_faults(kind: FailureType) -> None:
    (rows,) = tables(sections(PAGE, 3)[kind.value].replace("`", ""))
    assert rows == [row(fault) for fault in CATALOGUE if fault.type is kind]


def test_there_is_a_section_for_each_type_and_no_other() -> None:
    assert list(sections(PAGE, 3)) == [kind.value for kind in FailureType]


def test_the_intensities_are_told_in_order() -> None:
    told = table(PAGE, "circuit")
    columns = [name for name in told[0] if name != "circuit"]
    assert columns == [intensity.value for intensity in Intensity]


@pytest.mark.parametrize("state", list(CircuitState), ids=lambda state: state.value)
def test_what_circuits_allow_is_told(state: CircuitState) -> None:
    (told,) = [row for row in table(PAGE, "circuit") if row["circuit"] == state.value]
    assert {i.value: told[i.value] for i in Intensity} == {
        i.value: "yes" if allowed(i, state) else "no" for i in Intensity
    }


def test_the_arguments_of_the_marker_are_told() -> None:
    assert [row["argument"] for row in table(PAGE, "argument")] == list(ARGUMENTS)


def test_every_way_to_write_a_point_is_told() -> None:
    points = [row["point"] for row in table(PAGE, "point")]
    for point in points:
        Point.parse(point.replace("COMMAND", "get").replace("FIXTURE", "driver").replace("N", "3"))
    told = {point.partition(":")[0] for point in points}
    assert told == {*PHASES, *MOMENTS}


def test_every_command_is_told() -> None:
    text = sections(PAGE)["Points"]
    assert [name for name in COMMANDS if f"`{name}`" not in text] == []


def test_what_a_rate_chooses_from_is_told() -> None:
    assert f"`{spelled(RANDOM).replace(', ', '`, `')}`" in " ".join(sections(PAGE)["Plans"].split())
