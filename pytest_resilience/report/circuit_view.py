"""Circuits, and the tests they blocked, in the shape in which the page shows them.

Invariant: plain values only, every text in them cleaned, and of both texts and spans a
bounded number, however many circuits there are and however often they moved.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from typing import Any

from pytest_resilience.report.circuits import FIGURES, BlockedGroup, Circuit, Move, circuits
from pytest_resilience.report.summary import Summary
from pytest_resilience.report.text import headline, plural, seconds
from pytest_resilience.report.timeline import LANES, states

#: Circuits listed, and changes of them.
ROWS = 100
#: Groups of blocked tests, and names in a group; the table of all tests has them all.
GROUPS, NAMES = 30, 50
#: Groups that are unfolded from the start.
UNFOLDED = 3
#: Changes told of one circuit where its picture is not seen.
TOLD = 12


def circuit_section(summary: Summary, groups: list[BlockedGroup]) -> dict[str, Any]:
    """Return what the page shows of the circuits; ``rows`` is empty if there are none."""
    every = circuits(summary)
    moved = [circuit for circuit in every if circuit.moved]
    span_s = _span(summary, every)
    drawn = moved[:LANES] if span_s else []
    blocked = {group.label: (len(group.tests), f"b{n}") for n, group in enumerate(groups[:GROUPS])}
    return {
        "cost": _cost(summary, bool(moved)),
        "lanes": [{"label": c.label, "spans": states(c, span_s), "told": _told(c)} for c in drawn],
        "undrawn": len(moved) - len(drawn) if span_s else 0,
        "span": seconds(span_s),
        "rows": [_row(circuit, blocked) for circuit in every[:ROWS]],
        "more": len(every) - len(every[:ROWS]),
        "moves": _moves(every),
        "more_moves": max(0, sum(len(circuit.moves) for circuit in every) - ROWS),
    }


def blocked_cards(groups: list[BlockedGroup], anchors: Mapping[int, str]) -> list[dict[str, Any]]:
    """Return a card for each of `groups`.

    Args:
        anchors: Where on the page a test is, by its ``id()``, as far as it is there.
    """
    return [
        {
            "anchor": f"b{index}",
            "open": index < UNFOLDED,
            "heading": _heading(group),
            "reason": group.reason,
            "origin": headline(group.origin.nodeid, 300) if group.origin else "",
            "origin_anchor": anchors.get(id(group.origin), ""),
            "error_type": headline(group.root.error_type, 60) if group.root else "",
            "message": headline(group.root.message, 400) if group.root else "",
            "injected": headline(group.root.injected, 100) if group.root else "",
            "todo": group.todo,
            "names": [headline(test.nodeid, 300) for test in group.tests[:NAMES]],
            "more": len(group.tests) - len(group.tests[:NAMES]),
        }
        for index, group in enumerate(groups[:GROUPS])
    ]


def _heading(group: BlockedGroup) -> str:
    count = plural(len(group.tests), "test")
    need = "needs" if len(group.tests) == 1 else "need"
    return f"{count} that {need} {group.label}" if group.label else count


def root_text(group: BlockedGroup) -> str:
    """Return the root error of `group` in one line, "" if it is not known."""
    if group.root is None or group.origin is None:
        return ""
    said = headline(group.root.message, 200) or headline(group.root.exception)
    where = headline(group.origin.nodeid, 300)
    return f"{where} - {headline(group.root.error_type, 60)}: {said}"


def _span(summary: Summary, every: list[Circuit]) -> float:
    last = max((circuit.moves[-1].at_s for circuit in every if circuit.moves), default=0.0)
    return max(summary.session.duration_s, last)


def _cost(summary: Summary, moved: bool) -> str:
    """Return in a sentence what it cost that circuits were not closed."""
    said = []
    if summary.circuit_waited_s > 0:
        said.append(f"the run waited {seconds(summary.circuit_waited_s)} for circuits to close")
    if summary.moved > 0:
        was = "was" if summary.moved == 1 else "were"
        said.append(f"{plural(summary.moved, 'test')} {was} put behind others")
    if said:
        sentence = " and ".join(said)
        return f"{sentence[0].upper()}{sentence[1:]}."
    return "" if moved else "All of them were closed all the time."


def _told(circuit: Circuit) -> str:
    """Return in words what the picture of `circuit` shows."""
    first = circuit.moves[0].from_state if circuit.moves else circuit.state
    told = [f"{move.to_state} at {seconds(move.at_s)}" for move in circuit.moves[:TOLD]]
    if len(circuit.moves) > TOLD:
        told.append(f"{len(circuit.moves) - TOLD:,} more changes")
    return f"{circuit.label}: {', '.join([f'{first} at the start', *told])}"


def _row(circuit: Circuit, blocked: Mapping[str, tuple[int, str]]) -> dict[str, Any]:
    count, anchor = blocked.get(circuit.label, (0, ""))
    return {
        "label": circuit.label,
        "reason": circuit.reason if circuit.moved else "",
        "state": circuit.state,
        "health": "" if circuit.health is None else f"{circuit.health:.0f} %",
        "figures": [_count(circuit, name) for name in FIGURES],
        "opened": f"{circuit.opened:,}",
        "waited": seconds(circuit.waited_s) if circuit.waited_s else "",
        "blocked": f"{count:,}" if count else "",
        "anchor": anchor,
    }


def _count(circuit: Circuit, name: str) -> str:
    return f"{circuit.figures[name]:,}" if name in circuit.figures else ""


def _moves(every: list[Circuit]) -> list[dict[str, str]]:
    """Return the first `ROWS` changes of all circuits."""
    first = heapq.nsmallest(ROWS, _labelled(every), key=lambda labelled: labelled[1].at_s)
    return [
        {
            "at": seconds(move.at_s),
            "circuit": label,
            "from": move.from_state,
            "to": move.to_state,
            "reason": move.reason,
            "worker": move.worker,
        }
        for label, move in first
    ]


def _labelled(every: list[Circuit]) -> Iterator[tuple[str, Move]]:
    return ((circuit.label, move) for circuit in every for move in circuit.moves)
