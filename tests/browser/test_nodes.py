"""Which node of a grid takes the place of one that is avoided, and how a grid is brought to it."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_resilience.browser.nodes import AVOIDED_S, Nodes, instead_of
from pytest_resilience.browser.sessions import DriverSession
from pytest_resilience.browser.wire import Reply
from tests.doubles import FakeClock

CHROME = {"browserName": "chrome"}


def node(
    name: str, *, taken: int = 0, of: int = 2, state: str = "UP", held: str = "", **marks: Any
) -> dict[str, Any]:
    """Return a node as ``/status`` tells of it; its marks have ``_`` for ``:``."""
    offered = {**CHROME, **{mark.replace("_", ":", 1): value for mark, value in marks.items()}}
    return {
        "id": name,
        "availability": state,
        "maxSessions": of,
        "slots": [
            {
                "stereotype": offered,
                "session": {"sessionId": held or f"{name}-{n}"} if n < taken else None,
            }
            for n in range(of)
        ],
    }


class Grid:
    """Answers ``/status`` with its nodes."""

    def __init__(self, *nodes: dict[str, Any]) -> None:
        self.nodes = list(nodes)
        self.asked = 0

    def ask(self, *_question: Any, **_named: Any) -> Reply:
        self.asked += 1
        return Reply("ok", 200, {"nodes": self.nodes})


def session(grid: Grid, session_id: str = "s", *, remote: bool = True) -> DriverSession:
    wire: Any = grid
    return DriverSession(
        session_id=session_id,
        browser="chrome",
        browser_version="",
        endpoint="http://grid:4444/wd/hub/",
        remote=remote,
        wire=wire,
        requested=dict(CHROME),
        capabilities={},
    )


A = node("a", taken=1, held="s", node_id="a")


@pytest.mark.parametrize(
    ("others", "added"),
    [
        ([node("b", node_id="b")], {"node:id": "b"}),
        ([node("b", taken=1, node_id="b"), node("c", node_id="c")], {"node:id": "c"}),
        ([node("b", taken=2, node_id="b"), node("c", taken=1, node_id="c")], {"node:id": "c"}),
        ([node("b", taken=2, node_id="b")], {"node:id": "b"}),
        ([node("b", node_id="a"), node("c", node_id="c")], {"node:id": "c"}),
        ([node("b", node_id="b", state="DRAINING")], None),
        ([node("b", node_id="b", state="DOWN")], None),
        ([node("b", node_id="A")], None),
        ([node("b")], None),
        ([node("b", rack_id="b")], None),
        ([], None),
    ],
    ids=[
        "another",
        "the emptier one",
        "one that is not full",
        "a full one if need be",
        "not its twin",
        "none that drains",
        "none that is down",
        "nothing tells them apart",
        "no mark",
        "another mark",
        "no other",
    ],
)
def test_who_takes_the_place(others: list[dict[str, Any]], added: dict[str, Any] | None) -> None:
    assert instead_of(["a"], [A, *others], CHROME) == added


def test_every_node_that_is_avoided_is_left_out() -> None:
    """A value that two nodes share leaves out neither."""
    nodes = [A, node("b", rack_id="1", node_id="b"), node("c", node_id="c")]
    assert instead_of(["a", "b"], nodes, CHROME) == {"node:id": "c"}
    assert instead_of(["a", "b", "c"], nodes, CHROME) is None


def test_a_node_the_grid_has_lost_need_not_be_avoided() -> None:
    assert instead_of(["gone"], [A], CHROME) == {}


def test_what_the_user_asks_for_is_not_changed() -> None:
    """Neither a node that was asked for, nor a browser that only the bad one has."""
    other = node("b", node_id="b")
    assert instead_of(["a"], [A, other], {**CHROME, "node:id": "a"}) is None
    assert instead_of(["a"], [A, other], {"browserName": "MicrosoftEdge"}) is None
    w3c = {"capabilities": {"alwaysMatch": CHROME, "firstMatch": [{"node:id": "b"}]}}
    assert instead_of(["a"], [A, other], w3c) is None


@pytest.mark.parametrize("mark", ["goog_x", "se_x", "mouse_x", "teams_x"])
def test_what_the_grid_leaves_to_drivers_tells_no_nodes_apart(mark: str) -> None:
    """It does so wherever one of its prefixes is in the name."""
    bad, good = node("a", **{mark: "1"}), node("b", **{mark: "2"})
    assert instead_of(["a"], [bad, good], CHROME) is None


def test_a_mark_that_not_all_slots_have_tells_nothing() -> None:
    good = node("b", node_id="b")
    good["slots"][1]["stereotype"] = CHROME
    assert instead_of(["a"], [A, good], CHROME) is None


def test_a_node_is_avoided_for_a_while_by_sessions_of_its_grid() -> None:
    clock = FakeClock()
    nodes, grid = Nodes(clock.monotonic), Grid(A, node("b", node_id="b"))
    assert nodes.addition(session(grid)) == {}
    assert grid.asked == 0
    assert nodes.has_other(session(grid))
    assert nodes.avoid(session(grid))
    assert nodes.addition(session(grid)) == {"node:id": "b"}
    elsewhere = session(grid)
    elsewhere.endpoint = "http://other:4444"
    assert nodes.addition(elsewhere) == {}
    clock.sleep(AVOIDED_S)
    assert nodes.addition(session(grid)) == {}


def test_the_last_node_is_not_avoided() -> None:
    """When the one that took its place fails as well, nothing is changed any more."""
    nodes, grid = Nodes(FakeClock().monotonic), Grid(A, node("b", taken=1, held="t", node_id="b"))
    assert nodes.avoid(session(grid))
    assert not nodes.has_other(session(grid, "t"))
    assert not nodes.avoid(session(grid, "t"))
    assert nodes.addition(session(grid)) == {"node:id": "b"}


@pytest.mark.parametrize(
    "failed",
    [session(Grid(A), ""), session(Grid(A), "unknown"), session(Grid(A), remote=False)],
    ids=["never started", "of no node", "no grid"],
)
def test_of_some_sessions_no_node_is_known(failed: DriverSession) -> None:
    nodes = Nodes(FakeClock().monotonic)
    assert not nodes.has_other(failed)
    assert not nodes.avoid(failed)


def test_a_grid_that_does_not_answer_has_no_nodes() -> None:
    class Silent(Grid):
        def ask(self, *_question: Any, **_named: Any) -> Reply:
            return Reply("silent")

    assert not Nodes(FakeClock().monotonic).has_other(session(Silent()))
