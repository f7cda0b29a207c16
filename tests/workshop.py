"""An engine with surroundings of our own: rules, strategies, evidence and a clock."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

from pytest_resilience.config import ItemPolicy, Settings
from pytest_resilience.core import events
from pytest_resilience.core.builtin import builtin_strategies
from pytest_resilience.core.classifier import Rule
from pytest_resilience.core.evidence import Evidence, ProbeResult
from pytest_resilience.core.failures import ErrorSeverity, ErrorType, ExceptionFact, Failure
from pytest_resilience.core.strategies import RecoveryStrategy
from pytest_resilience.engine import Incident, ItemHistory, RecoveryEngine
from tests.doubles import FakeClock, FakeEnvironment, ListSink

#: A diagnosis for every exception name these tests use; all else is unknown.
RULES = (
    Rule(
        "browser-gone",
        ErrorType.BROWSER,
        confidence=0.9,
        severity=ErrorSeverity.HIGH,
        types=("BrowserGone",),
    ),
    Rule("wire-cut", ErrorType.CONNECTION, types=("WireCut",)),
    Rule("shop-broken", ErrorType.PRODUCT, types=("ShopBroken",)),
    Rule("no-browser", ErrorType.SYSTEM, types=("NoBrowser",), recovery="escalate"),
    Rule("circuit-open", ErrorType.CIRCUIT_OPEN, types=("CircuitOpen",)),
)
#: One recovery of its kind each, so that a choice is easy to foresee.
_THREE = tuple(
    strategy
    for strategy in builtin_strategies()
    if strategy.name in ("immediate_retry", "browser_restart", "driver_restart")
)
PROBED = Evidence([ProbeResult("session", "dead", "no such session", 0.01)])


class Workshop:
    """An engine among doubles, and one item that fails in it."""

    def __init__(
        self,
        *,
        settings: Settings | None = None,
        rules: Iterable[Rule] = RULES,
        strategies: Iterable[RecoveryStrategy] | None = None,
    ) -> None:
        self.settings = settings or Settings()
        self.clock = FakeClock()
        self.sink = ListSink()
        self.history = ItemHistory()
        self.passed = 0
        numbers = itertools.count(1)
        self.engine = RecoveryEngine(
            self.settings,
            clock=self.clock,
            sink=self.sink,
            new_id=lambda: f"id-{next(numbers)}",
            rules=tuple(rules),
            strategies=_THREE if strategies is None else strategies,
            passed=lambda: self.passed,
        )

    def fail(
        self,
        exception: str = "BrowserGone",
        attempt: int = 1,
        *,
        policy: ItemPolicy | None = None,
        hopeless: str = "",
        **where: Any,
    ) -> Incident:
        fact = ExceptionFact((f"app.{exception}", "builtins.Exception"), f"{exception} happened")
        failure = Failure("test_shop.py::test_buy", "call", (fact,), attempt, **where)
        return self.engine.diagnose(
            failure,
            PROBED,
            policy or ItemPolicy.of(self.settings),
            self.history,
            hopeless=hopeless,
        )

    def recover(
        self, incident: Incident, answer: bool | BaseException = True, seconds: float = 2.0
    ) -> FakeEnvironment:
        environment = FakeEnvironment(answer, clock=self.clock, seconds=seconds)
        self.engine.recover(incident, environment)
        return environment

    @property
    def errors(self) -> list[dict[str, Any]]:
        return self.sink.of(events.ERROR)

    @property
    def recoveries(self) -> list[dict[str, Any]]:
        return self.sink.of(events.RECOVERY)
