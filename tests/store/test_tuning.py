"""Settings of circuits from what happened: proposed where it pays, kept where nothing is known."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.core.events import Attempt
from pytest_resilience.store.history import History
from pytest_resilience.store.outages import Outage, Trial
from pytest_resilience.store.tuning import (
    LEAST_INCIDENTS,
    LEAST_OUTAGES,
    LONGEST_STEP,
    PAUSES_S,
    THRESHOLDS,
    CircuitSettings,
    Incident,
    Proposal,
    cost_of,
    propose_pause,
    propose_threshold,
    tune,
    waited,
)

from .conftest import NEW_YEAR_US
from .test_circuit_transitions import moves

Fill = Callable[..., Path]
Event = tuple[str, dict[str, Any]]

USUAL = CircuitSettings(threshold=5, half_open_after=2.0, recovery_timeout=60.0)


def settings(**changes: Any) -> CircuitSettings:
    """Return the usual settings with `changes`."""
    usual = {name: getattr(USUAL, name) for name in USUAL.__slots__}
    return CircuitSettings(**{**usual, **changes})


def row(length: int, *, sid: str = "s0", every: float = 5.0, good_s: float = 0.0) -> Incident:
    """Return so many failures in a row of a run with four workers, 10 s of a worker each."""
    ends = tuple(every * number for number in range(length))
    return Incident(sid, ends, max(good_s, ends[-1]), cost_s=10.0, workers=4)


def rows(lengths: Iterable[int], sessions: int = 4, **how: Any) -> list[Incident]:
    """Return rows of these lengths in each of so many runs."""
    return [row(n, sid=f"s{sid}", **how) for sid in range(sessions) for n in lengths]


def outage(seconds: float, *failed: float, sid: str = "s0") -> Outage:
    """Return an outage that was over after `seconds`, at which the last trial began."""
    trials = (*(Trial(at, 1.0, good=False) for at in failed), Trial(seconds, 0.5, good=True))
    return Outage(sid, "endpoint", "grid", NEW_YEAR_US, seconds + 0.5, True, 5, "", trials)


class TestWaiting:
    """What it costs to wait for something to come back."""

    @pytest.mark.parametrize("missing_s", [0, 1.5, 2, 3, 6, 7, 29, 40, 100])
    def test_the_pauses_double_up_to_the_longest(self, missing_s: float) -> None:
        """The first after 2 s, none longer than 20."""
        tries = [2.0, 6.0, 14.0, 30.0, 50.0, 70.0, 90.0, 110.0]
        first = next(at for at in tries if at >= missing_s)
        wait = waited(missing_s, 2, 20)
        assert (wait.late_s, wait.early) == (first - missing_s, tries.index(first))

    @given(st.floats(0, 10_000), st.floats(0.1, 100), st.floats(0.1, 1000))
    def test_nothing_is_noticed_before_it_is_there(
        self, missing_s: float, first_s: float, longest_s: float
    ) -> None:
        wait = waited(missing_s, first_s, longest_s)
        assert 0 <= wait.late_s <= max(longest_s, missing_s) + first_s
        assert wait.early <= missing_s / min(first_s, longest_s) + 1


class TestCosts:
    """What an incident costs with a threshold, in seconds of workers."""

    def test_a_row_that_does_not_open_the_circuit_costs_its_failures(self) -> None:
        assert cost_of(row(4), 5, USUAL, 1.0) == 40.0

    def test_a_row_that_opens_it_costs_those_before_and_the_wait_of_all(self) -> None:
        """It opens at once and is tried every 40 s: 4 workers wait for what was good before."""
        steady = settings(half_open_after=40.0, recovery_timeout=40.0)
        assert cost_of(row(6, every=0.0), 5, steady, 3.0) == 5 * 10.0 + 4 * 40.0

    def test_a_row_that_opens_it_costs_the_tries_that_come_too_early(self) -> None:
        """Good after about 100 s, tried each second: a hundred tries, and half a second late."""
        eager = settings(half_open_after=1.0, recovery_timeout=1.0)
        cost = cost_of(row(6, every=0.0, good_s=100.0), 5, eager, 3.0)
        assert cost == pytest.approx(5 * 10.0 + 4 * 0.5 + 100 * 3.0, rel=0.05)


class TestThreshold:
    """How many failures in a row should open a circuit."""

    def proposed(self, incidents: list[Incident], **changes: Any) -> Proposal:
        return propose_threshold(incidents, settings(**changes), 1.0)

    def test_long_rows_are_cut_sooner(self) -> None:
        """Failures come once or in their tens: five are more than it takes to know."""
        found = self.proposed(rows([1] * 6 + [40] * 3, good_s=0))
        assert (found.state, found.proposed) == ("change", 3)
        assert "36 rows of failures in 4 runs, 12 of 5 or more, 0 of 3 to 4" in found.reason
        assert "would have cost" in found.reason

    def test_rows_that_end_by_themselves_are_left_alone(self) -> None:
        """The tests that fail at the fifth pass at the sixth: opening only makes all wait."""
        found = self.proposed(rows([1] * 4 + [5, 6, 6]), half_open_after=20.0)
        assert found.state == "change"
        assert found.proposed > 6

    def test_a_setting_that_makes_no_difference_is_kept(self) -> None:
        found = self.proposed(rows([1] * 10))
        assert (found.state, found.proposed) == ("keep", 5)
        assert "40 rows of failures in 4 runs" in found.reason

    def test_one_bad_run_is_no_reason(self) -> None:
        """The outages were all in one run; without it nothing would be gained."""
        calm = [row(1, sid=f"s{number}") for number in range(30)]
        found = self.proposed(calm + [row(40, sid="bad") for _ in range(10)])
        assert (found.state, found.proposed) == ("keep", 5)

    @pytest.mark.parametrize(
        "incidents",
        [
            pytest.param([], id="nothing"),
            pytest.param(rows([40] * 3, sessions=4), id="few"),
            pytest.param(rows([40] * 20, sessions=2), id="in-few-runs"),
        ],
    )
    def test_too_little_is_called_so(self, incidents: list[Incident]) -> None:
        found = self.proposed(incidents)
        assert (found.state, found.proposed) == ("insufficient data", 5)
        sessions = len({incident.sid for incident in incidents})
        assert found.reason == (
            f"it takes {LEAST_INCIDENTS} rows of failures in 3 runs to tell;"
            f" the history holds {len(incidents)} in {sessions}"
        )

    def test_a_setting_out_of_bounds_is_somebodys_wish(self) -> None:
        found = self.proposed(rows([1] * 6 + [400] * 3), threshold=100)
        assert (found.state, found.proposed) == ("keep", 100)

    @given(
        st.lists(
            st.tuples(st.sampled_from("abcde"), st.integers(1, 40), st.floats(0, 500)),
            max_size=40,
        ),
        st.integers(1, 12),
    )
    def test_it_stays_in_bounds_and_steps_are_short(
        self, incidents: list[tuple[str, int, float]], threshold: int
    ) -> None:
        made = [row(n, sid=sid, good_s=good_s) for sid, n, good_s in incidents]
        found = self.proposed(made, threshold=threshold)
        assert found.reason
        if found.state == "change":
            assert found.proposed in THRESHOLDS
            assert 1 / LONGEST_STEP <= found.proposed / threshold <= LONGEST_STEP
            costs = found.evidence["worker_seconds"]
            assert costs[str(found.proposed)] < costs[str(threshold)]
        else:
            assert found.proposed == threshold


class TestPause:
    """After how many seconds an open circuit should be tried first."""

    def proposed(self, found: list[Outage], workers: int = 4, **changes: Any) -> Proposal:
        sessions = {one.sid: workers for one in found}
        return propose_pause(found, sessions, settings(**changes), 1.0)

    def test_outages_of_one_length_are_tried_when_they_end(self) -> None:
        """What is back after 7 to 8 s need not be asked at 30."""
        found = self.proposed(
            [outage(8.0, 7.0, sid=f"s{n % 4}") for n in range(12)], half_open_after=16.0
        )
        assert (found.state, found.proposed) == ("change", 8)
        assert "12 outages in 4 runs, half of them over within 7.5 s" in found.reason
        assert "8 s would have noticed it 0.5 s too late and 0.0 tries too early" in found.reason

    def test_what_takes_long_is_not_asked_too_soon(self) -> None:
        """Each try costs the grid a session: with one worker waiting, later is better."""
        found = propose_pause(
            [outage(6.0, 5.0, sid=f"s{n % 4}") for n in range(12)],
            {f"s{n}": 1 for n in range(4)}, settings(half_open_after=3.0), 20.0,
        )  # fmt: skip
        assert (found.state, found.proposed) == ("change", 6)

    def test_a_good_setting_is_kept(self) -> None:
        found = self.proposed(
            [outage(8.0, 7.0, sid=f"s{n % 4}") for n in range(12)], half_open_after=8.0
        )
        assert (found.state, found.proposed) == ("keep", 8.0)

    def test_outages_that_nobody_saw_end_count_for_nothing(self) -> None:
        endless = Outage("s0", "endpoint", "grid", 0, 500.0, False, 5, "", ())
        found = self.proposed([endless] * 20)
        assert (found.state, found.proposed) == ("insufficient data", 2.0)
        assert f"it takes {LEAST_OUTAGES} outages in 3 runs" in found.reason

    def test_it_is_never_longer_than_the_recovery_timeout(self) -> None:
        found = self.proposed(
            [outage(8.0, 7.0, sid=f"s{n % 4}") for n in range(12)],
            half_open_after=4.0, recovery_timeout=5.0,
        )  # fmt: skip
        assert found.proposed <= 5.0

    @given(
        st.lists(
            st.tuples(st.sampled_from("abcde"), st.floats(0, 200), st.floats(0, 1)), max_size=30
        ),
        st.floats(0.1, 60),
    )
    def test_it_stays_in_bounds_and_steps_are_short(
        self, outages: list[tuple[str, float, float]], now: float
    ) -> None:
        made = [outage(seconds, seconds * share, sid=sid) for sid, seconds, share in outages]
        found = self.proposed(made, half_open_after=now)
        if found.state == "change":
            assert found.proposed in PAUSES_S
            assert 1 / LONGEST_STEP <= found.proposed / now <= LONGEST_STEP
        else:
            assert found.proposed == now


def attempts(outcomes: str, *, begin_s: float = 0.0, worker: str = "gw0") -> list[Event]:
    """Return the events of attempts of 10 s, one after the other.

    ``.`` passes, ``i`` fails by the infrastructure, ``p`` by the product, ``x`` by an injected
    fault, ``m`` mildly, ``b`` because a circuit was open, ``?`` for reasons unknown.
    """
    kinds: dict[str, dict[str, Any]] = {
        ".": {"outcome": "passed"},
        "i": {"outcome": "rerun", "error_type": "connection", "infrastructure": True},
        "p": {"outcome": "failed", "error_type": "product"},
        "x": {"outcome": "rerun", "error_type": "browser", "infrastructure": True,
              "injected": "crash"},
        "m": {"outcome": "rerun", "error_type": "network", "infrastructure": True,
              "severity": "low"},
        "b": {"outcome": "rerun", "error_type": "circuit_open", "infrastructure": True},
        "?": {"outcome": "failed", "error_type": "unknown"},
    }  # fmt: skip
    told = []
    for number, letter in enumerate(outcomes):
        started_us = NEW_YEAR_US + round((begin_s + 10 * number) * 1e6)
        attempt = Attempt(
            started_us=started_us, duration_s=10.0, worker=worker,
            **{"severity": "high", **kinds[letter]},
        )  # fmt: skip
        told.append(("attempt", {"nodeid": f"t{number}", **attempt.to_dict()}))
    return told


class TestHistory:
    """What is read from the history."""

    def told(self, history: History, filled: Fill, *runs: list[Event], **changes: Any) -> Any:
        history.merge([filled(*run, session_id=f"s{n}") for n, run in enumerate(runs)])
        found = tune(settings(**changes), db=history.path, now_us=lambda: NEW_YEAR_US)
        return {proposal.setting: proposal for proposal in found}

    def test_a_history_without_failures_is_too_little(self, history: History, filled: Fill) -> None:
        found = self.told(history, filled, attempts("...."))
        assert {p.state for p in found.values()} == {"insufficient data"}
        assert list(found) == ["circuit_threshold", "circuit_half_open_after"]

    @pytest.mark.parametrize(
        ("outcomes", "lengths"),
        [
            pytest.param("i.ii.iii", (1, 2, 3), id="a-success-ends-a-row"),
            pytest.param("ipii", (1, 2), id="a-product-that-fails-was-reached"),
            pytest.param("ixi", (2,), id="injected-faults-do-not-count"),
            pytest.param("imi", (2,), id="mild-failures-do-not-count"),
            pytest.param("ibbi", (2,), id="refusals-do-not-count"),
            pytest.param("i?i", (2,), id="what-nobody-knows-ends-no-row"),
        ],
    )
    def test_rows_of_failures_are_told_apart(
        self, history: History, filled: Fill, outcomes: str, lengths: tuple[int, ...]
    ) -> None:
        """With many of the same, so that the sums tell how long each row was."""
        runs = [attempts((outcomes + ".") * 20) for _ in range(3)]
        evidence = self.told(history, filled, *runs)["circuit_threshold"].evidence
        assert (evidence["rows"], evidence["longest"]) == (60 * len(lengths), max(lengths))
        # No circuit opens at ten: the cost is that of the failures, 10 s each.
        assert evidence["worker_seconds"]["10"] == 60 * 10.0 * sum(lengths)

    def test_long_outages_of_a_grid_lower_the_threshold(
        self, history: History, filled: Fill
    ) -> None:
        runs = [attempts("i." * 6 + "i" * 30 + ".") for _ in range(4)]
        found = self.told(history, filled, *runs)["circuit_threshold"]
        assert (found.state, found.proposed) == ("change", 3)

    def test_an_open_circuit_hides_failures_that_are_counted_all_the_same(
        self, history: History, filled: Fill
    ) -> None:
        """It opened at the fifth failure, at 50 s, and held for 300 s: 30 more of 10 s each."""
        run = [
            *attempts("iiiii"),
            *moves((50.0, "open"), (200, "half-open"), (210, "open"), (350, "half-open"),
                   (352, "closed")),
            *attempts("....", begin_s=350),
            *attempts("i.i.i.i.", begin_s=500),
        ]  # fmt: skip
        evidence = self.told(history, filled, *[run] * 4)["circuit_threshold"].evidence
        assert 20 <= evidence["longest"] <= 36

    @pytest.mark.parametrize(
        ("struck", "outages"),
        [
            pytest.param(None, 12, id="real"),
            pytest.param(False, 12, id="nothing-could-be-injected"),
            pytest.param(True, 9, id="of-one-run-on-purpose"),
        ],
    )
    def test_outages_are_played_again(
        self, history: History, filled: Fill, struck: bool | None, outages: int
    ) -> None:
        """They end within 8 s, between tries; asking after 16 s makes all wait."""
        injected: Event = ("injection", {"nodeid": "t0", "struck": struck})
        run = [
            *attempts("." * 3),
            *(
                event
                for n in range(3)
                for event in moves(
                    (100 * n, "open"), (100 * n + 7, "half-open"), (100 * n + 7.5, "open"),
                    (100 * n + 8, "half-open"), (100 * n + 9, "closed"), circuit=f"grid{n}",
                )
            ),
        ]  # fmt: skip
        runs = [[*run, injected] if struck is not None else run, *[run] * 3]
        found = self.told(history, filled, *runs, half_open_after=16.0)
        proposal = found["circuit_half_open_after"]
        assert (proposal.state, proposal.proposed) == ("change", 8)
        assert proposal.evidence["outages"] == outages

    def test_only_the_days_asked_for_are_looked_at(self, history: History, filled: Fill) -> None:
        runs = [attempts("i." * 10) for _ in range(4)]
        assert self.told(history, filled, *runs)["circuit_threshold"].state == "keep"
        later = NEW_YEAR_US + 10 * 86_400_000_000
        for days, state in ((10, "insufficient data"), (11, "keep")):
            found = tune(USUAL, days=days, db=history.path, now_us=lambda: later)
            assert found[0].state == state

    def test_values_out_of_every_range_are_no_obstacle(
        self, history: History, filled: Fill
    ) -> None:
        """Any process may have written anything."""
        wild = [
            {"outcome": "passed", "started_us": 2**63 - 1},
            {"outcome": "passed", "started_us": NEW_YEAR_US, "duration_s": 1e300},
            {"outcome": "failed", "infrastructure": True, "error_type": "x", "duration_s": -1e300,
             "started_us": NEW_YEAR_US, "recovery_s": 1e300},
            {"outcome": 7, "infrastructure": "perhaps", "severity": [], "started_us": "soon"},
        ]  # fmt: skip
        run = [*(("attempt", payload) for payload in wild), *attempts("i." * 10)]
        run += [
            ("circuit_transition", {"circuit": "c", "to_state": "open", "changed_us": 2**63 - 1})
        ]
        run += [("circuit_transition", {"circuit": "c", "to_state": "ajar", "generation": "x"})]
        found = self.told(history, filled, *[run] * 3)
        assert found["circuit_threshold"].state == "keep"
