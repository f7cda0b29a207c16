"""Recorded failures, as rows of plain values, through the same diagnosis as live ones.

Invariant: only what was known when the failure surfaced is used (exception, message,
command, browser, probes), never a label; no row, however broken, raises.
"""

from __future__ import annotations

import builtins
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pytest_resilience.core import evidence as ev
from pytest_resilience.core.classifier import BUILTIN_RULES, Rule, classify
from pytest_resilience.core.evidence import Evidence, ProbeResult
from pytest_resilience.core.failures import ErrorType, ExceptionFact, Failure

_PROCESS_STATES = {
    "stopped": ev.STOPPED,
    "tracing-stop": ev.STOPPED,
    "zombie": ev.ZOMBIE,
    "gone": ev.GONE,
    "dead": ev.GONE,
}
#: Of several renderers, the most telling answer counts.
_RENDERER_ORDER = (ev.STOPPED, ev.BUSY, ev.ALIVE, ev.ZOMBIE, ev.GONE)
_OWN_PROBES = frozenset(
    {
        ev.BROWSER_PROCESS,
        ev.RENDERER_PROCESS,
        ev.GPU_PROCESS,
        ev.DRIVER_PROCESS,
        ev.DRIVER_STATUS,
        ev.SESSION,
        ev.DEVTOOLS,
        ev.PAGE,
        ev.TARGET,
        ev.GRID,
        ev.NODE,
        ev.OWN_NETWORK,
        ev.HOST,
        ev.LATCH,
    }
)


def triage(row: Any, rules: Sequence[Rule] = BUILTIN_RULES) -> dict[str, Any]:
    """Return the diagnosis of one recorded failure.

    Args:
        row: A mapping with any of ``id``, ``exc_type``, ``exc_mro``, ``message``,
            ``command``, ``browser``, ``probes``; anything else counts as an empty one.

    Returns:
        ``id``, ``error_type``, ``layer``, ``infrastructure``, ``confidence``, ``rule``
        and ``recovery``.
    """
    fields = row if isinstance(row, Mapping) else {}
    evidence = evidence_of(fields.get("probes"))
    diagnosis = classify(failure_of(fields), evidence, rules)
    return {
        "id": fields.get("id"),
        "error_type": diagnosis.error_type.label,
        "layer": diagnosis.error_type.layer,
        "infrastructure": diagnosis.error_type.infrastructure,
        "confidence": diagnosis.confidence,
        "rule": diagnosis.rule,
        "recovery": diagnosis.recovery,
    }


def failure_of(row: Mapping[str, Any]) -> Failure:
    """Return the failure a row tells of."""
    fact = ExceptionFact(mro=_mro(row), message=_string(row.get("message")))
    browser = _string(row.get("browser"))
    probes = row.get("probes")
    return Failure(
        nodeid=_string(row.get("id")),
        phase="call",
        chain=(fact,),
        command=_string(row.get("command")),
        browser=browser,
        remote="grid" in browser.lower() or (isinstance(probes, Mapping) and "nodes" in probes),
    )


def evidence_of(probes: Any) -> Evidence:
    """Return what recorded `probes` amount to as evidence; unknown ones are left out."""
    if not isinstance(probes, Mapping):
        return Evidence()
    grid = probes.get("grid")
    answers = {
        ev.DRIVER_PROCESS: _process(probes.get("driver_proc")),
        ev.BROWSER_PROCESS: _process(probes.get("browser_proc")),
        ev.RENDERER_PROCESS: _renderers(probes.get("renderers")),
        ev.GPU_PROCESS: _process(probes.get("gpu_proc")),
        ev.DRIVER_STATUS: _reply(probes.get("drv_status")),
        ev.DEVTOOLS: _reply(probes.get("devtools_version")),
        ev.SESSION: _session(probes.get("sess_js")),
        ev.GRID: _grid(grid if isinstance(grid, Mapping) else probes),
    }
    answers |= {
        name: value
        for name, value in probes.items()
        if isinstance(name, str) and name in _OWN_PROBES and isinstance(value, str)
    }
    return Evidence(ProbeResult(p, a) for p, a in answers.items() if a != ev.UNASKED)


def _mro(row: Mapping[str, Any]) -> tuple[str, ...]:
    names = row.get("exc_mro")
    if isinstance(names, (list, tuple)) and any(isinstance(name, str) for name in names):
        return tuple(name for name in names if isinstance(name, str))
    written = _string(row.get("exc_type"))
    # People write "playwright Error", "A / B" or "A (cause B)": the first name counts.
    first = re.split(r"\s*[/(:,]", written, maxsplit=1)[0].strip()
    bases = getattr(getattr(builtins, first, None), "__mro__", ())
    if BaseException in bases:
        return tuple(f"builtins.{base.__name__}" for base in bases[:-1])
    return (".".join(first.split()),) if first else ()


def _string(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _process(state: Any) -> str:
    if not isinstance(state, str):
        return ev.UNASKED
    return _PROCESS_STATES.get(state, ev.ALIVE)


def _renderers(states: Any) -> str:
    if not isinstance(states, (list, tuple)):
        return ev.UNASKED
    answers = {ev.BUSY if state == "running" else _process(state) for state in states}
    return next((answer for answer in _RENDERER_ORDER if answer in answers), ev.UNASKED)


def _reply(probe: Any) -> str:
    if not isinstance(probe, Mapping) or "ok" not in probe:
        return ev.UNASKED
    if probe["ok"]:
        return ev.OK
    error = _string(probe.get("err")).lower()
    if "refused" in error:
        return ev.REFUSED
    return ev.SILENT if "timed out" in error or "timeout" in error else ev.ERROR


def _session(probe: Any) -> str:
    answer = _reply(probe)
    if answer in (ev.OK, ev.UNASKED, ev.REFUSED):
        return answer
    error = _string(probe.get("err")).lower()
    if "crashed" in error:
        return ev.CRASHED
    return ev.DEAD if "invalid session id" in error else answer


def _grid(probes: Mapping[str, Any]) -> str:
    if not {"ready", "nodes", "up"} & set(probes):
        return ev.UNASKED
    if probes.get("ok") is False:
        return _reply(probes)
    if _nodes_up(probes) == 0:
        return ev.EMPTY
    return ev.OK if probes.get("ready") else ev.BUSY


def _nodes_up(probes: Mapping[str, Any]) -> int:
    nodes = probes.get("nodes")
    if isinstance(nodes, (list, tuple)):
        return sum(1 for n in nodes if isinstance(n, (list, tuple)) and n and n[0] == "UP")
    up = probes.get("up")
    return up if isinstance(up, int) else 0


@dataclass(slots=True)
class Confusion:
    """How diagnoses compare with labels.

    Attributes:
        layers: (true layer, diagnosed layer) to number of rows.
        infrastructure: (true, diagnosed) to number of rows with a yes/no label.
        excused: Ids of product and test-code failures that were called infrastructure.
    """

    layers: Counter[tuple[str, str]] = field(default_factory=Counter)
    infrastructure: Counter[tuple[bool, bool]] = field(default_factory=Counter)
    excused: list[Any] = field(default_factory=list)

    def add(self, row: Any, diagnosis: Mapping[str, Any]) -> None:
        """Count `row`, if it carries labels, against its diagnosis."""
        fields = row if isinstance(row, Mapping) else {}
        layer = fields.get("layer", fields.get("true_layer"))
        if isinstance(layer, str) and layer in _LAYERS:
            self.layers[layer, diagnosis["layer"]] += 1
        label = fields.get("infrastructure")
        if isinstance(label, bool):
            self.infrastructure[label, diagnosis["infrastructure"]] += 1
        if label is False and diagnosis["infrastructure"]:
            self.excused.append(fields.get("id"))

    @property
    def layer_accuracy(self) -> float | None:
        """Share of rows whose layer is right; None without labels."""
        return _accuracy(self.layers)

    @property
    def infrastructure_accuracy(self) -> float | None:
        """Share of rows whose yes/no is right; None without labels."""
        return _accuracy(self.infrastructure)

    def __bool__(self) -> bool:
        return bool(self.layers or self.infrastructure)

    def render(self) -> str:
        """Return both matrices and the two shares as text."""
        if not self:
            return "no labelled rows\n"
        yes_no = Counter({(_word(t), _word(d)): n for (t, d), n in self.infrastructure.items()})
        return "\n".join(
            [
                _matrix("layer", self.layers),
                _share("layer right", self.layers),
                "",
                _matrix("infrastructure", yes_no),
                _share("infrastructure right", yes_no),
                f"called infrastructure though labelled otherwise: {len(self.excused)}"
                + "".join(f"\n  {name}" for name in self.excused),
                "",
            ]
        )


def confusion(rows: Iterable[Any], rules: Sequence[Rule] = BUILTIN_RULES) -> Confusion:
    """Return how the diagnoses of all labelled `rows` compare with their labels."""
    result = Confusion()
    for row in rows:
        result.add(row, triage(row, rules))
    return result


_LAYERS = frozenset(member.layer for member in ErrorType)


def _word(value: bool) -> str:
    return "yes" if value else "no"


def _accuracy(counts: Counter[Any]) -> float | None:
    total = sum(counts.values())
    return sum(n for (true, said), n in counts.items() if true == said) / total if total else None


def _share(what: str, counts: Counter[Any]) -> str:
    accuracy = _accuracy(counts)
    if accuracy is None:
        return f"{what}: no labels"
    return f"{what}: {accuracy:.1%} of {sum(counts.values())}"


def _matrix(what: str, counts: Counter[tuple[str, str]]) -> str:
    names = sorted({name for pair in counts for name in pair})
    head = f"{what + ': true, diagnosed':<28}" + "".join(f"{name:>10}" for name in names)
    body = [
        f"{true:<28}" + "".join(f"{counts[true, said] or '.':>10}" for said in names)
        for true in names
    ]
    return "\n".join([head, *body])
