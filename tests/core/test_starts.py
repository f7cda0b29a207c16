"""`starts`: whose trouble it is that a browser does not start."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.core.starts import FRESH_S, KEPT, Start, Starts

NOW = 1000.0
WORKERS = [f"gw{number}" for number in range(KEPT + 3)]
a_start = st.builds(
    Start, st.sampled_from(WORKERS), st.floats(0, NOW, allow_nan=False), st.booleans()
)
some_starts = st.lists(a_start, max_size=30)


def known(*starts: Start) -> Starts:
    told = Starts()
    for start in starts:
        told = told.after(start)
    return told


def test_what_starts_on_another_worker_is_the_trouble_of_the_one_on_which_it_does_not() -> None:
    starts = known(Start("gw1", NOW - 5, True), Start("gw0", NOW - 1, False))
    assert starts.fails_alone("gw0", NOW)


def test_what_starts_nowhere_is_the_trouble_of_the_browser() -> None:
    starts = known(Start("gw1", NOW - 5, True), Start("gw1", NOW - 2, False))
    assert not starts.fails_alone("gw0", NOW)


def test_one_other_worker_that_fails_outweighs_all_that_do_not() -> None:
    """Else an outage would be laid to one worker after another."""
    starts = known(*(Start(f"gw{n}", NOW - 5, n != 3) for n in range(1, 6)))
    assert not starts.fails_alone("gw0", NOW)


def test_where_nobody_else_has_tried_nobody_knows_better() -> None:
    assert not Starts().fails_alone("gw0", NOW)
    assert not known(Start("gw0", NOW - 1, True)).fails_alone("gw0", NOW)


def test_what_nobody_else_has_tried_is_told_from_what_fails_everywhere() -> None:
    assert known(Start("gw0", NOW, False)).untried("gw0", NOW)
    assert not known(Start("gw1", NOW, False)).untried("gw0", NOW)
    assert not known(Start("gw1", NOW, True)).untried("gw0", NOW)


def test_what_was_long_ago_says_nothing() -> None:
    starts = known(Start("gw1", NOW, True))
    assert starts.fails_alone("gw0", NOW + FRESH_S)
    assert not starts.fails_alone("gw0", NOW + FRESH_S + 1)
    # Neither does a failure of that time.
    starts = known(Start("gw2", NOW, False), Start("gw1", NOW + FRESH_S, True))
    assert starts.fails_alone("gw0", NOW + FRESH_S + 1)


@given(some_starts)
def test_the_latest_start_of_each_worker_is_kept_of_those_that_tried_last(
    starts: list[Start],
) -> None:
    latest = {start.worker: start for start in starts}
    order = list(dict.fromkeys(start.worker for start in reversed(starts)))[:KEPT]
    assert known(*starts).latest == tuple(latest[worker] for worker in reversed(order))


@given(some_starts, st.sampled_from(WORKERS))
def test_own_starts_say_nothing_about_others(starts: list[Start], worker: str) -> None:
    others = known(*(start for start in starts if start.worker != worker))
    told = known(*starts)
    if len(told.latest) < KEPT:
        assert told.fails_alone(worker, NOW) == others.fails_alone(worker, NOW)


@given(some_starts)
def test_it_comes_back_as_it_was_written(starts: list[Start]) -> None:
    told = known(*starts)
    assert Starts.from_dict(json.loads(json.dumps(told.to_dict()))) == told
