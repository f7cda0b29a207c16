"""What is told of circuits, and of the tests they blocked."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_resilience.core.circuit_record import CircuitState
from pytest_resilience.core.events import Attempt, TestResult
from pytest_resilience.report.circuit_view import (
    GROUPS,
    NAMES,
    ROWS,
    blocked_cards,
    circuit_section,
)
from pytest_resilience.report.circuits import blocked_groups, circuits
from pytest_resilience.report.exchange import from_json, to_json
from pytest_resilience.report.html import render
from pytest_resilience.report.summary import SessionInfo, Summary
from pytest_resilience.report.terminal import summary_lines
from pytest_resilience.report.timeline import LANES
from tests.docs.pages import DOCS, table
from tests.docs.test_reference_formats import misfits

Make = Callable[..., Any]
GRID = "http://grid:4444"


def session(*found: dict[str, Any], tests: list[TestResult] | None = None) -> Summary:
    info = SessionInfo(started_us=1_000_000, finished_us=11_000_000)
    return Summary(info, tests or [], circuits=list(found))


def texts(summary: Summary, verbosity: int = 0) -> list[str]:
    return [text for text, _ in summary_lines(summary, verbosity=verbosity)]


class TestReading:
    """What the summary holds of a circuit becomes typed values."""

    def test_all_is_read(self, circuit: Make, transition: Make) -> None:
        """Figures, state, reason and changes are those of the summary."""
        (read,) = circuits(session(circuit(transitions=[transition(1.5, "closed", "open", "why")])))
        assert (read.label, read.state, read.health, read.reason) == (
            "browser chromium",
            "open",
            0.0,
            "the trial failed",
        )
        assert read.figures == {
            "successes": 12,
            "failures": 5,
            "ignored": 1,
            "refused": 3,
            "stale": 0,
        }
        assert (read.opened, read.waited_s) == (2, 4.5)
        (move,) = read.moves
        assert (move.at_s, move.from_state, move.to_state, move.reason, move.worker) == (
            1.5,
            "closed",
            "open",
            "why",
            "gw0",
        )

    def test_those_that_moved_come_first(self, circuit: Make) -> None:
        """Whoever was closed all the time is told last; the order is kept otherwise."""
        calm = [circuit(name=name, state="closed", opened=0) for name in "ab"]
        read = circuits(session(*calm, circuit(name="c"), circuit(name="d")))
        assert [(one.name, one.moved) for one in read] == [
            ("c", True),
            ("d", True),
            ("a", False),
            ("b", False),
        ]

    def test_changes_are_in_order_of_time_and_not_before_the_session(
        self, circuit: Make, transition: Make
    ) -> None:
        """Workers tell their changes one after the other; what was before counts as its start."""
        moves = [
            transition(5.0, "half-open", "closed"),
            transition(-3.0, "closed", "open"),
            transition(4.0, "open", "half-open"),
        ]
        (read,) = circuits(session(circuit(transitions=moves)))
        assert [(move.at_s, move.to_state) for move in read.moves] == [
            (0.0, "open"),
            (4.0, "half-open"),
            (5.0, "closed"),
        ]

    def test_openings_are_counted_where_they_are_not_told(
        self, circuit: Make, transition: Make
    ) -> None:
        """An older file has no count of openings, only the changes."""
        moves = [transition(n, "half-open", "open") for n in range(3)]
        told = circuit(transitions=moves)
        del told["opened"]
        assert circuits(session(told))[0].opened == 3

    @pytest.mark.parametrize("state", [state.value for state in CircuitState])
    def test_every_state_is_known(self, circuit: Make, state: str) -> None:
        """No state of the code is called unknown here."""
        assert circuits(session(circuit(state=state)))[0].state == state

    @pytest.mark.parametrize(
        ("changes", "story"),
        [
            pytest.param({"opened": 1}, "open once (open at the end)", id="still-open"),
            pytest.param({"opened": 2, "state": "closed"}, "open 2 times", id="closed-again"),
            pytest.param({"opened": 0, "state": "isolated"}, "isolated", id="isolated"),
            pytest.param({"opened": 0, "state": "closed"}, "", id="calm"),
            pytest.param(
                {"opened": 1, "state": "half-open"}, "open once (half-open at the end)", id="trial"
            ),
        ],
    )
    def test_its_story_is_short(self, circuit: Make, changes: dict[str, Any], story: str) -> None:
        """A few words say how often it opened, and how it ended if that was not well."""
        assert circuits(session(circuit(**changes)))[0].story == story

    def test_one_that_was_isolated_and_reset_is_remembered(
        self, circuit: Make, transition: Make
    ) -> None:
        """Closed at the end, it still has something to tell."""
        moves = [transition(1, "closed", "isolated"), transition(2, "isolated", "closed")]
        (read,) = circuits(session(circuit(state="closed", opened=0, transitions=moves)))
        assert read.story == "isolated"


class TestGroups:
    """Blocked tests are one group for each circuit."""

    def test_a_group_names_its_circuit_and_root_error(self, summary: Summary) -> None:
        """The group knows the failed attempt that opened the circuit, and its test."""
        (group,) = blocked_groups(summary)
        assert group.label == "browser chromium"
        assert group.origin is summary.unrecovered[0]
        assert group.root is summary.unrecovered[0].attempts[1]
        assert group.todo.startswith("Look for a crash")
        assert group.todo.endswith("Then run the blocked tests again.")

    def test_tests_of_one_circuit_are_together_whatever_was_said(
        self, circuit: Make, blocked: Make
    ) -> None:
        """Reasons that differ in detail make no second group; the usual one is shown."""
        reasons = ["is open: a", "is down, and was waited for in vain: b", "is open: a"]
        tests = [
            blocked(f"t{n}", reason=f"endpoint {GRID} {reason}") for n, reason in enumerate(reasons)
        ]
        (group,) = blocked_groups(session(circuit(kind="endpoint", name=GRID), tests=tests))
        assert [test.nodeid for test in group.tests] == ["t0", "t1", "t2"]
        assert (group.label, group.reason) == (f"endpoint {GRID}", f"endpoint {GRID} is open: a")

    def test_names_that_begin_alike_are_told_apart(self, circuit: Make, blocked: Make) -> None:
        """A browser at a grid is not the local browser, and port 44441 is not port 4444."""
        found = [
            circuit(name="chrome"),
            circuit(name=f"chrome at {GRID}"),
            circuit(kind="endpoint", name=GRID),
            circuit(kind="endpoint", name=f"{GRID}1"),
        ]
        reasons = [
            "browser chrome",
            f"browser chrome at {GRID}",
            f"endpoint:{GRID}",
            f"endpoint {GRID}1",
        ]
        tests = [blocked(reason, reason=f"{reason} is open: x") for reason in reasons]
        labels = [group.label for group in blocked_groups(session(*found, tests=tests))]
        assert labels == [reason.replace("endpoint:", "endpoint ") for reason in reasons]

    def test_an_unknown_circuit_is_known_by_its_reason(self, blocked: Make) -> None:
        """Without circuits in the summary, the beginning of the reason makes the group."""
        reasons = ["worker gw1 is open: a", "worker gw1 is open: b", "worker gw2 is open: a"]
        tests = [blocked(f"t{n}", reason=reason) for n, reason in enumerate(reasons)]
        groups = blocked_groups(session(tests=tests))
        assert [[test.nodeid for test in group.tests] for group in groups] == [["t0", "t1"], ["t2"]]
        assert [group.label for group in groups] == ["", ""]

    def test_the_largest_group_is_first(self, blocked: Make) -> None:
        """What keeps most tests from running is to be looked at first."""
        tests = [blocked(f"t{n}", reason=f"browser {'ab'[n > 0]} is open: x") for n in range(3)]
        assert [len(group.tests) for group in blocked_groups(session(tests=tests))] == [2, 1]

    def test_the_root_error_most_tests_name_is_told(self, blocked: Make, died: Make) -> None:
        """Each worker knows an error of its own of the same outage; one is enough."""
        lost = [
            TestResult(f"lost{n}", "unrecovered", attempts=[died(error_id=f"e{n}")])
            for n in range(2)
        ]
        tests = [blocked(f"t{n}", root_error_id=f"e{n > 0:d}") for n in range(3)]
        (group,) = blocked_groups(session(tests=[*lost, *tests]))
        assert group.origin is lost[1]

    def test_an_unknown_root_error_is_left_out(self, blocked: Make) -> None:
        """The error may have been in another run; what to do is told in general then."""
        (group,) = blocked_groups(session(tests=[blocked("t", root_error_id="gone")]))
        assert (group.root, group.origin) == (None, None)
        assert group.todo.startswith("Bring back what the circuit stands for")

    def test_a_blocked_test_made_no_attempt(self, blocked: Make) -> None:
        """What tells why it was not run counts neither as an attempt nor as an error."""
        summary = session(tests=[blocked("t")])
        assert (summary.attempts, summary.error_groups()) == (0, [])


class TestPage:
    """The circuits in the HTML report."""

    def test_everything_is_readable_without_script(self, summary: Summary) -> None:
        """Group, root error, advice, figures and changes are plain HTML, linked to each other."""
        source = render(summary)
        for expected in (
            "1 test that needs browser chromium",
            '<a href="#t3">tests/test_shop.py::test_pay</a>',
            "browser: invalid session id",
            "Then run the blocked tests again.",
            "<li>tests/test_shop.py::test_mail</li>",
            '<a href="#b0">1</a>',
            "<title>open, 3.5 s to 5.5 s</title>",
            "closed at the start, open at 3.5 s, half-open at 5.5 s, open at 6.5 s",
            "a health probe succeeded",
            "The run waited 4.5 s for circuits to close and 2 tests were put behind others.",
            "The first choice was the best in hindsight in 1 of 2 cases",
        ):
            assert expected in source
        assert 'id="t3"' in source
        assert 'id="b0"' in source

    def test_calm_circuits_have_figures_and_no_picture(self, circuit: Make) -> None:
        """Nothing is drawn of what never changed."""
        calm = session(circuit(state="closed", opened=0, waited_s=0.0))
        section = circuit_section(calm, [])
        assert (section["lanes"], section["moves"], len(section["rows"])) == ([], [], 1)
        assert section["cost"] == "All of them were closed all the time."

    def test_a_root_error_that_is_not_on_the_page_is_no_link(
        self, blocked: Make, died: Make
    ) -> None:
        """No link leads nowhere: the test is named, and found in the table."""
        lost = TestResult("lost", "unrecovered", attempts=[died(error_id="e")])
        groups = blocked_groups(session(tests=[lost, blocked("t", root_error_id="e")]))
        (card,) = blocked_cards(groups, {})
        assert (card["origin"], card["origin_anchor"]) == ("lost", "")

    @pytest.mark.parametrize(
        "agreement",
        [{}, {"best": 1}, {"cases": 2}, {"best": 0, "cases": 0}, {"best": "x", "cases": None}],
        ids=str,
    )
    def test_unknown_agreement_is_not_told(self, summary: Summary, agreement: Any) -> None:
        """Without cases nothing can be said of the choices."""
        summary.agreement = agreement
        assert "hindsight" not in render(summary)


KEYS = (
    "name", "kind", "state", "health", "successes", "failures", "ignored", "refused", "stale",
    "opened", "waited_s", "reason", "transitions",
)  # fmt: skip
NASTY = st.sampled_from(
    ["<script>alert(1)</script>", "\x1b[2Jx", "a\nb", "\ud800", '"><svg onload=x>', "", "x" * 5000]
)
HUGE = st.sampled_from([1e308, float("inf"), float("nan"), -1, 10**400, -(10**400), 1e12])
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), HUGE, NASTY, st.text())
STATES = st.sampled_from([*CircuitState, "shut", "open "])
CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "at_s": st.one_of(st.floats(-5, 100), SCALARS),
        "from_state": STATES,
        "to_state": STATES,
        "reason": SCALARS,
        "worker": SCALARS,
    },
)
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NASTY, inner), max_leaves=5
)
FOUND = st.one_of(
    st.fixed_dictionaries(
        {"name": NASTY, "kind": st.sampled_from(["browser", "endpoint", ""]), "state": STATES},
        optional={
            **dict.fromkeys(KEYS[3:12], SCALARS),
            "transitions": st.lists(st.one_of(CHANGES, ANYTHING), max_size=8),
        },
    ),
    st.dictionaries(st.sampled_from(KEYS), ANYTHING),
)


@settings(max_examples=30)
@given(found=st.lists(FOUND, max_size=4), reasons=st.lists(st.one_of(NASTY, st.text()), max_size=4))
def test_whatever_the_circuits_hold_it_can_be_told(
    found: list[dict[str, Any]], reasons: list[str]
) -> None:
    """No circuit and no reason ends a report, draws on the terminal, or is markup."""
    tests = [TestResult(f"t{n}", "blocked", reason=reason) for n, reason in enumerate(reasons)]
    tests += [TestResult(reason, "blocked", attempts=[Attempt()]) for reason in reasons]
    summary = session(*found, tests=tests)
    lines = texts(summary, 1)
    assert max(map(len, lines)) < 5000
    assert {char for line in lines for char in line if unicodedata.category(char) == "Cc"} == set()
    source = render(summary)
    source.encode("utf-8")
    assert source.count("<script") == 2
    assert "<svg onload" not in source
    grouped = [test.nodeid for group in blocked_groups(summary) for test in group.tests]
    assert sorted(grouped) == sorted(test.nodeid for test in tests)
    json.dumps(to_json(summary)["details"], allow_nan=False)


def test_a_farm_of_circuits_stays_small(circuit: Make, transition: Make, blocked: Make) -> None:
    """Hundreds of restless circuits, and as many blocked tests, make a page of bounded size."""
    long = "x" * 1000
    moves = [
        transition(n, "open" if n % 2 else "closed", "closed" if n % 2 else "open", long)
        for n in range(20)
    ]
    found = [circuit(name=f"{n} {long}", reason=long, transitions=moves) for n in range(200)]
    tests = [blocked(f"t{n}", reason=f"reason {n % 100}") for n in range(600)]
    summary = session(*found, tests=tests)
    groups = blocked_groups(summary)
    section = circuit_section(summary, groups)
    assert (len(section["rows"]), len(section["lanes"]), len(section["moves"])) == (
        ROWS,
        LANES,
        ROWS,
    )
    assert (section["more"], section["undrawn"]) == (200 - ROWS, 200 - LANES)
    assert section["more_moves"] == 200 * 20 - ROWS
    cards = blocked_cards(groups, {})
    assert len(cards) == GROUPS
    assert all(len(card["names"]) <= NAMES for card in cards)
    assert len(render(summary).encode()) < 1_500_000
    assert sum(len(text) for text in texts(summary)) < 100_000


def test_circuits_fit_their_schema_and_its_page(summary: Summary) -> None:
    """What is written of circuits is what the schema promises, and the page lists the same."""
    schema = json.loads((DOCS / "reference" / "summary.schema.json").read_text(encoding="utf-8"))
    assert list(misfits(to_json(summary), schema, "summary")) == []
    promised = schema["properties"]["circuits"]["items"]["required"]
    fields = [row["field"] for row in table(DOCS / "reference" / "formats.md", "field")]
    assert fields == promised == list(summary.circuits[0])


def test_a_file_keeps_all_of_it(summary: Summary) -> None:
    """Circuits, waits, moves and agreement come back from JSON as they were."""
    data = json.loads(json.dumps(to_json(summary)))
    assert data["circuits"] == summary.circuits
    assert {key: data["details"][key] for key in ("circuit_waited_s", "moved", "agreement")} == {
        "circuit_waited_s": 4.5,
        "moved": 2,
        "agreement": {"best": 1, "cases": 2},
    }
    again = from_json(data)
    assert (again.circuits, again.circuit_waited_s, again.moved, again.agreement) == (
        summary.circuits,
        4.5,
        2,
        {"best": 1, "cases": 2},
    )
    assert render(again) == render(summary)
