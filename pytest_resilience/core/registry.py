"""All circuits of a run, by kind and name, and how healthy they are together.

Invariant: there is one circuit for a kind and name, from the first time it is asked for; what
is listened to is listened to on all of them, also on those that come later.
"""

from __future__ import annotations

import difflib
import threading
from collections.abc import Callable, Mapping
from typing import Any

from pytest_resilience.core.circuit import Cell, CircuitBreaker, Listener
from pytest_resilience.core.circuit_config import CircuitConfig
from pytest_resilience.core.circuit_listeners import Listeners
from pytest_resilience.core.circuit_record import CircuitState, Transition
from pytest_resilience.core.ports import RandomSource
from pytest_resilience.exceptions import ConfigurationError

#: What circuits stand for, and how the health metrics call several of them.
GROUPS: Mapping[str, str] = {
    "browser": "browsers",
    "endpoint": "endpoints",
    "worker": "workers",
    "hardware": "hardware_classes",
    "test_type": "test_types",
}
KINDS = tuple(GROUPS)
#: An overall health below this is worth an alert. It is what one open circuit of two makes, or
#: one that is half-open and on its own.
CRITICAL_HEALTH = 50.0

MakeCell = Callable[[str, str], Cell]


class CircuitRegistry:
    """Makes circuits when they are asked for, and keeps them.

    Args:
        config_of: Parameters by kind; those of a kind that is missing are the usual ones.
        monotonic: See `CircuitBreaker`.
        chance: See `CircuitBreaker`.
        make_cell: Makes the cell for a kind and name; in this process's memory if not given.
    """

    def __init__(
        self,
        config_of: Mapping[str, CircuitConfig] | None = None,
        *,
        monotonic: Callable[[], float],
        chance: RandomSource,
        make_cell: MakeCell | None = None,
    ) -> None:
        self._monotonic = monotonic
        self._chance = chance
        self._circuits: dict[tuple[str, str], CircuitBreaker] = {}
        self._lock = threading.RLock()
        self._listeners: Listeners[Transition] = Listeners()
        self._alerts: Listeners[dict[str, Any]] = Listeners()
        self._critical = False
        self._config_of = _checked(config_of or {})
        self._make_cell = make_cell

    def get(self, kind: str, name: str) -> CircuitBreaker:
        """Return the circuit of `kind` called `name`, made if there is none.

        Raises:
            ConfigurationError: There is no such kind; names the valid ones.
        """
        found = self._circuits.get((kind, name))
        if found is not None:
            return found
        _check_kind(kind)
        with self._lock:
            if (kind, name) not in self._circuits:
                breaker = self._made(kind, name, self.config(kind), self._cell(kind, name))
                breaker.add_listener(self._heard)
                self._circuits[kind, name] = breaker
            return self._circuits[kind, name]

    def config(self, kind: str) -> CircuitConfig:
        """Return the parameters of circuits of `kind`."""
        _check_kind(kind)
        return self._config_of.get(kind) or CircuitConfig()

    def configure(
        self, config_of: Mapping[str, CircuitConfig], make_cell: MakeCell | None = None
    ) -> None:
        """Give the circuits of these kinds other parameters, those there are and later ones.

        Args:
            make_cell: If given, all circuits get other cells, too.

        Raises:
            ConfigurationError: There is no such kind.
        """
        with self._lock:
            self._config_of = {**self._config_of, **_checked(config_of)}
            self._make_cell = make_cell or self._make_cell
            for (kind, name), breaker in self._circuits.items():
                cell = self._cell(kind, name) if make_cell else None
                breaker.configure(self._config_of.get(kind, breaker.config), cell)

    def renew(
        self,
        config_of: Mapping[str, CircuitConfig] | None = None,
        make_cell: MakeCell | None = None,
        monotonic: Callable[[], float] | None = None,
    ) -> None:
        """Begin anew, as if just made: without circuits, and with nobody who listens.

        Args:
            monotonic: The clock of those who share the cells, if it is not the one so far.
        """
        config_of = _checked(config_of or {})
        with self._lock:
            self._monotonic = monotonic or self._monotonic
            self._circuits = {}
            self._listeners, self._alerts = Listeners(), Listeners()
            self._critical = False
            self._config_of, self._make_cell = config_of, make_cell

    def circuits(self) -> list[CircuitBreaker]:
        """Return all circuits, by kind and name."""
        with self._lock:
            return [breaker for _, breaker in sorted(self._circuits.items(), key=lambda kv: kv[0])]

    def open_circuits(self) -> list[CircuitBreaker]:
        """Return those that are open or isolated."""
        refusing = (CircuitState.OPEN, CircuitState.ISOLATED)
        return [breaker for breaker in self.circuits() if breaker.get_state() in refusing]

    def reset(self, kind: str | None = None, name: str | None = None) -> list[CircuitBreaker]:
        """Reset the circuits of `kind` and `name`, either of them for all; return them.

        Raises:
            ConfigurationError: There is no such kind, or no circuit of that name.
        """
        if kind is not None:
            _check_kind(kind)
        chosen = [
            breaker
            for breaker in self.circuits()
            if kind in (None, breaker.kind) and name in (None, breaker.name)
        ]
        if name is not None and not chosen:
            known = sorted({b.name for b in self.circuits() if kind in (None, b.kind)})
            raise ConfigurationError(
                f"circuit {name!r} is not known; known ones: {', '.join(known) or 'none'}."
                f"{_nearest(name, known)}"
            )
        for breaker in chosen:
            breaker.reset()
        return chosen

    def health(self) -> float:
        """Return the overall health, 0 to 100: that of the kind that is worst off.

        A suite needs a browser *and* an endpoint *and* a worker, but only one of each; so the
        health of a kind is the mean of its circuits', and the least of these is the overall
        health. 100 if there are no circuits.
        """
        overall: float = self.get_health_metrics()["aggregate"]["overall_health"]
        return overall

    def get_health_metrics(self) -> dict[str, Any]:
        """Return the health of all circuits, and of all together, as a JSON-plain dict.

        ``aggregate`` has the numbers of circuits by state (isolated ones are open ones, too),
        ``average_health`` of all circuits and ``overall_health`` (see `health`). Each group
        (``workers``, ``hardware_classes``, ``browsers``, ``endpoints``, ``test_types``) has its
        circuits by name with state, health in per cent, and totals.
        """
        groups: dict[str, dict[str, Any]] = {group: {} for group in GROUPS.values()}
        for breaker in self.circuits():
            groups[GROUPS[breaker.kind]][breaker.name] = _summary(breaker.get_metrics())
        return {"aggregate": _aggregate(groups), **groups}

    def add_listener(self, fn: Listener) -> None:
        """Call `fn` with each `Transition` of each circuit; see `CircuitBreaker.add_listener`."""
        self._listeners.add(fn)

    def remove_listener(self, fn: Listener) -> None:
        """Do not call `fn` any more."""
        self._listeners.remove(fn)

    def on_alert(self, fn: Callable[[dict[str, Any]], object]) -> None:
        """Call `fn` with the health metrics when the overall health gets below 50.

        It is judged at each transition. `fn` is called once, and again when the health has been
        50 or more in the meantime. What it raises changes nothing.
        """
        self._alerts.add(fn)

    @property
    def troubles(self) -> tuple[str, ...]:
        """One line for each of the latest things that went wrong in listeners and reports."""
        own = (*self._listeners.failures, *self._alerts.failures)
        return (*own, *(line for breaker in self.circuits() for line in breaker.troubles))

    def _made(
        self, kind: str, name: str, config: CircuitConfig, cell: Cell | None
    ) -> CircuitBreaker:
        return CircuitBreaker(
            config,
            name=name,
            kind=kind,
            monotonic=self._monotonic,
            chance=self._chance,
            cell=cell,
        )

    def _cell(self, kind: str, name: str) -> Cell | None:
        return self._make_cell(kind, name) if self._make_cell else None

    def _heard(self, transition: Transition) -> None:
        self._listeners.post([transition])
        self._listeners.deliver()
        self._judge()

    def _judge(self) -> None:
        metrics = self.get_health_metrics()
        critical = metrics["aggregate"]["overall_health"] < CRITICAL_HEALTH
        with self._lock:
            begins = critical and not self._critical
            self._critical = critical
        if begins:
            self._alerts.post([metrics])
        self._alerts.deliver()


def _summary(metrics: Mapping[str, Any]) -> dict[str, Any]:
    state = str(metrics["state"]).upper().replace("-", "_")
    kept = (
        "health_percentage",
        "total_successes",
        "total_failures",
        "failure_count",
        "threshold",
        "retry_after_s",
        "last_reason",
    )
    return {"state": state, **{key: metrics[key] for key in kept}}


def _aggregate(groups: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> dict[str, Any]:
    circuits = [circuit for group in groups.values() for circuit in group.values()]
    states = [circuit["state"] for circuit in circuits]
    isolated = states.count("ISOLATED")
    by_kind = [_mean([c["health_percentage"] for c in g.values()]) for g in groups.values()]
    return {
        "total_circuits": len(circuits),
        "open_circuits": states.count("OPEN") + isolated,
        "isolated_circuits": isolated,
        "half_open_circuits": states.count("HALF_OPEN"),
        "closed_circuits": states.count("CLOSED"),
        "average_health": round(_mean([c["health_percentage"] for c in circuits]), 1),
        "overall_health": round(min(by_kind), 1),
    }


def _mean(numbers: list[float]) -> float:
    return sum(numbers) / len(numbers) if numbers else 100.0


def _checked(config_of: Mapping[str, CircuitConfig]) -> dict[str, CircuitConfig]:
    for kind in config_of:
        _check_kind(kind)
    return dict(config_of)


def _check_kind(kind: str) -> None:
    if kind not in KINDS:
        raise ConfigurationError(
            f"kind of circuit: {kind!r} is not valid; expected one of {', '.join(KINDS)}."
            f"{_nearest(kind, KINDS)}"
        )


def _nearest(name: str, valid: tuple[str, ...] | list[str]) -> str:
    close = difflib.get_close_matches(name, valid, n=1)
    return f" Did you mean {close[0]!r}?" if close else ""
