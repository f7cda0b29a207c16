"""Browsers at once, on the terminal and on the page: what was limited, when, and why."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_resilience.report.concurrency import ROWS, concurrency_line, concurrency_section
from pytest_resilience.report.exchange import from_json, to_json
from pytest_resilience.report.html import render
from pytest_resilience.report.summary import SessionInfo, Summary
from pytest_resilience.report.terminal import summary_lines

CHANGE = {
    "at_s": 5.0, "from_limit": 4, "to_limit": 3, "active": 4,
    "reason": "resources ran short in 2 of 5 attempts", "worker": "gw1",
}  # fmt: skip
TOLD: dict[str, Any] = {
    "cap": None, "limit": 2, "least": 2, "most_active": 4, "waits": 3, "waited_s": 12.5,
    "extra": 1, "changes": [CHANGE, {**CHANGE, "at_s": 8.0, "from_limit": 3, "to_limit": 2}],
    "samples": [[1.0, 1, None], [2.0, 4, None], [5.0, 4, 3], [6.0, 3, 3], [8.0, 2, 2]],
}  # fmt: skip


def summary(told: Any) -> Summary:
    session = SessionInfo(session_id="s", started_us=1_000_000, finished_us=11_000_000)
    return Summary(session=session, concurrency=told)


def test_the_line_tells_the_way_of_the_limit_and_what_it_cost() -> None:
    line = "limit 4 -> 3 -> 2, 3 waits of 12.5 s in all, 1 beyond the limit"
    assert concurrency_line(summary(TOLD)) == line
    assert (f"browsers: {line}", {}) in summary_lines(summary(TOLD))


def test_a_limit_of_the_user_is_told() -> None:
    assert concurrency_line(summary({"cap": 2, "waits": 0, "waited_s": 0.0})) == "at most 2"


def test_a_long_way_is_shortened() -> None:
    changes = [{**CHANGE, "from_limit": 20 - n, "to_limit": 19 - n} for n in range(15)]
    line = concurrency_line(summary({**TOLD, "changes": changes}))
    assert line.startswith("limit 20 -> 19 -> 18 -> 17 -> ... -> 7 -> 6 -> 5,")


def test_without_a_limit_nothing_is_shown() -> None:
    assert concurrency_line(summary({})) == ""
    assert not [line for line, _ in summary_lines(summary({})) if line.startswith("browsers")]
    assert 'id="concurrency"' not in render(summary({}))


def test_the_picture_shows_browsers_in_use_and_the_limit_to_scale() -> None:
    section = concurrency_section(summary(TOLD))
    bars = {(bar.kind, bar.title): bar for bar in section["bars"]}
    assert set(bars) >= {
        ("active", "1 in use"), ("active", "4 in use"), ("active", "2 in use"),
        ("limit", "limit 3"), ("limit", "limit 2"),
    }  # fmt: skip
    four, one = bars["active", "4 in use"], bars["active", "1 in use"]
    assert four.height == pytest.approx(4 * one.height)
    assert one.x == pytest.approx(100, abs=3), "it began after one of ten seconds"
    assert section["told"].startswith("at most 4 in use at once, limit 3 after 5.0 s")


def test_the_page_has_the_picture_and_every_change() -> None:
    page = render(summary(TOLD))
    assert 'id="concurrency"' in page
    assert page.count("resources ran short in 2 of 5 attempts") == 2
    assert 'class="b-limit"' in page


def test_it_survives_the_way_through_json() -> None:
    data = to_json(summary(TOLD))
    assert data["concurrency"] == TOLD
    assert from_json(data).concurrency == TOLD
    del data["concurrency"]
    assert from_json(data).concurrency == {}, "an older summary has none"


@pytest.mark.parametrize(
    "told",
    [
        {"changes": "x", "samples": 3},
        {"changes": [None, {"at_s": "x", "reason": "<script>alert(1)</script>"}], "waits": "many"},
        {"samples": [[1], None, ["a", "b", "c"], [float("nan"), 1, 1], [2.0, 1e300, None]]},
        {"cap": True, "waited_s": -1, "most_active": None},
    ],
    ids=["no-lists", "broken-changes", "broken-samples", "broken-figures"],
)
def test_whatever_a_summary_holds_it_is_shown_without_harm(told: dict[str, Any]) -> None:
    page = render(summary(told))
    assert "<script>alert" not in page
    summary_lines(summary(told))


def test_no_more_changes_are_listed_than_can_be_read() -> None:
    section = concurrency_section(summary({**TOLD, "changes": [CHANGE] * (ROWS + 7)}))
    assert (len(section["changes"]), section["more"]) == (ROWS, 7)
