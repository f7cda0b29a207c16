"""`core.evidence`: what probes answered, and that silence is not a good answer."""

from __future__ import annotations

import json
import math

from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.core import evidence as ev
from pytest_resilience.core.evidence import Evidence, ProbeResult

PROBES = [ev.SESSION, ev.PAGE, "our_own_probe"]

results = st.builds(
    ProbeResult,
    probe=st.sampled_from(PROBES),
    answer=st.sampled_from([ev.OK, ev.DEAD, ev.SILENT, "our_own_answer"]),
    detail=st.text(),
    cost_s=st.floats(0, 60),
)
many = st.lists(results, max_size=8)


@given(made=many, probe=st.sampled_from(PROBES))
def test_the_latest_answer_of_a_probe_counts_and_a_missing_one_is_unasked(
    made: list[ProbeResult], probe: str
) -> None:
    latest = {result.probe: (result.answer, result.detail) for result in made}
    found = Evidence(made)
    assert (found.answer(probe), found.detail(probe)) == latest.get(probe, (ev.UNASKED, ""))


def test_a_missing_answer_is_none_of_the_answers_a_probe_can_give() -> None:
    answers = {
        ev.ALIVE, ev.GONE, ev.ZOMBIE, ev.STOPPED, ev.BUSY, ev.OK, ev.REFUSED, ev.SILENT, ev.ERROR,
        ev.CRASHED, ev.DEAD, ev.VANISHED, ev.ERROR_PAGE, ev.GATEWAY, ev.SERVER_ERROR, ev.EMPTY,
        ev.SHORT, ev.CLOSED,
    }  # fmt: skip
    assert Evidence().answer(ev.SESSION) not in answers
    assert Evidence().answer(ev.BROWSER_PROCESS) not in ev.LIFELESS


@given(made=many)
def test_it_keeps_all_results_in_their_order_whatever_they_came_in(
    made: list[ProbeResult],
) -> None:
    found = Evidence(result for result in made)
    assert (list(found), list(found), len(found)) == (made, made, len(made))


@given(made=many)
def test_its_cost_is_that_of_all_probes_together(made: list[ProbeResult]) -> None:
    assert math.isclose(Evidence(made).cost_s, math.fsum(result.cost_s for result in made))


@given(made=many)
def test_as_dicts_it_survives_json_with_costs_to_the_microsecond(made: list[ProbeResult]) -> None:
    plain = Evidence(made).to_dicts()
    assert json.loads(json.dumps(plain)) == list(plain)
    for result, shown in zip(made, plain, strict=True):
        assert shown == {
            "probe": result.probe,
            "answer": result.answer,
            "detail": result.detail,
            "cost_s": shown["cost_s"],
        }
        assert abs(float(str(shown["cost_s"])) - result.cost_s) <= 1e-6
