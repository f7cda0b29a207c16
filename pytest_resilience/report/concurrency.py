"""How many browsers were used at once, in the shape in which reports show it.

Invariant: whatever the summary holds of it, what is shown is typed, finite and bounded; where
nothing is known, nothing is shown.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pytest_resilience.report.circuits import number
from pytest_resilience.report.summary import Summary
from pytest_resilience.report.text import headline, plural, seconds
from pytest_resilience.report.timeline import SLOTS, WIDTH

#: Changes of the limit that are listed.
ROWS = 50
#: Height of the picture in its own units.
HEIGHT = 40


@dataclass(frozen=True, slots=True)
class Bar:
    """A piece of the picture: from `x`, `width` wide, `height` high, all in its own units."""

    kind: str
    x: float
    width: float
    y: float
    height: float
    title: str


def concurrency_line(summary: Summary) -> str:
    """Return in a few words how the number of browsers was limited, "" if it was not."""
    told = summary.concurrency
    said = []
    steps = [change for change in _changes(told) if change["from"] and change["to"]]
    if steps:
        path = [steps[0]["from"], *(step["to"] for step in steps)]
        shown = path if len(path) <= 8 else [*path[:4], "...", *path[-3:]]
        said.append(f"limit {' -> '.join(map(str, shown))}")
    elif number(told.get("cap")) is not None:
        said.append(f"at most {number(told.get('cap')):g}")
    waits, waited_s = number(told.get("waits")), number(told.get("waited_s"))
    if waits and waited_s:
        said.append(f"{plural(int(waits), 'wait')} of {seconds(waited_s)} in all")
    extra = number(told.get("extra"))
    if extra:
        said.append(f"{int(extra):,} beyond the limit")
    return ", ".join(said)


def concurrency_section(summary: Summary) -> dict[str, Any]:
    """Return what the page shows of it; ``line`` is empty if there is nothing to show."""
    told = summary.concurrency
    samples = _samples(told)
    span_s = max([summary.session.duration_s, *(at for at, _, _ in samples)])
    changes = _changes(told)
    top = max([1.0, *(max(active, limit or 0.0) for _, active, limit in samples)])
    return {
        "line": concurrency_line(summary),
        "bars": _bars(samples, span_s, top) if samples and span_s > 0 else [],
        "height": HEIGHT,
        "top": f"{top:g}",
        "span": seconds(span_s),
        "told": _in_words(told),
        "changes": changes[:ROWS],
        "more": max(0, len(changes) - ROWS),
    }


def _samples(told: Mapping[str, Any]) -> list[tuple[float, float, float | None]]:
    """Return moment, browsers in use and limit, as far as they are known."""
    found = []
    samples = told.get("samples")
    for sample in samples if isinstance(samples, list | tuple) else ():
        if isinstance(sample, list | tuple) and len(sample) == 3:
            at, active, limit = map(number, sample)
            if at is not None and active is not None:
                found.append((at, active, limit))
    return sorted(found, key=lambda sample: sample[0])


def _changes(told: Mapping[str, Any]) -> list[dict[str, str]]:
    changes = told.get("changes")
    return [
        {
            "at": seconds(number(change.get("at_s")) or 0.0),
            "from": _whole(change.get("from_limit")),
            "to": _whole(change.get("to_limit")),
            "active": _whole(change.get("active")),
            "reason": headline(str(change.get("reason") or ""), 200),
            "worker": headline(str(change.get("worker") or ""), 60),
        }
        for change in (changes if isinstance(changes, list | tuple) else ())
        if isinstance(change, Mapping)
    ]


def _whole(value: Any) -> str:
    known = number(value)
    return "" if known is None else f"{known:.0f}"


def _bars(samples: list[tuple[float, float, float | None]], span_s: float, top: float) -> list[Bar]:
    """Return a bar for the browsers in use, and a line for the limit, at each moment."""
    most = [-1.0] * SLOTS
    limits: list[float | None] = [None] * SLOTS
    ends = [at for at, _, _ in samples[1:]] + [span_s]
    for (at, active, limit), end in zip(samples, ends, strict=True):
        for slot in range(_slot(at, span_s), _slot(end, span_s) + 1):
            # Of several at one moment the most counts, and the limit that came last.
            most[slot], limits[slot] = max(most[slot], active), limit
    return [*_runs("active", most, top), *_runs("limit", limits, top)]


def _runs(kind: str, values: list[Any], top: float) -> list[Bar]:
    bars = []
    x, unit = 0.0, WIDTH / SLOTS
    for value, run in itertools.groupby(values):
        width = len(list(run)) * unit
        if value is not None and value > (0 if kind == "active" else -1):
            high = value / top * HEIGHT
            line = kind == "limit"
            bars.append(
                Bar(
                    kind,
                    round(x, 1),
                    round(width, 1),
                    round(max(0.0, HEIGHT - high - (1 if line else 0)), 1),
                    1.5 if line else round(high, 1),
                    f"limit {value:g}" if line else f"{value:g} in use",
                )
            )
        x += width
    return bars


def _slot(at: float, span_s: float) -> int:
    return min(SLOTS - 1, max(0, int(at / span_s * SLOTS)))


def _in_words(told: Mapping[str, Any]) -> str:
    """Return what the picture shows where it is not seen."""
    most = number(told.get("most_active"))
    said = [f"at most {most:g} in use at once"] if most is not None else []
    said += [f"limit {change['to']} after {change['at']}" for change in _changes(told)[:12]]
    return ", ".join(said)
