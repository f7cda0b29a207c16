"""What a test has in hand: which attempt it is, why the last one failed, what that saved.

Invariant: a test that asks gets an answer, whether the plugin is switched on or not, on
whichever worker it runs; asking changes nothing. Loaded only by tests that ask.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from pytest_resilience.plugin.knobs import Turnable

if TYPE_CHECKING:
    from pytest_resilience.core.events import Attempt
    from pytest_resilience.plugin.checkpoints import Checkpoint, Shelf

#: On an item: the attempt before the one that runs, if there was one.
PREVIOUS: pytest.StashKey[Attempt] = pytest.StashKey()
#: On a config, and on an item where the plugin is not switched on: where checkpoints are.
SHELF: pytest.StashKey[Shelf] = pytest.StashKey()


@dataclass(frozen=True, slots=True)
class PastDiagnosis:
    """Why an attempt failed, and what was done about it.

    Attributes:
        attempt: Number of that attempt, from 1.
        error_type: Label of its `ErrorType`, such as ``"browser"``.
        infrastructure: Whether that error type excuses the product.
        severity: Value of its `ErrorSeverity`.
        rule: The classification rule that decided.
        confidence: 0 to 1, how often that rule is right.
        exception: Name of the exception's class.
        message: Its text.
        phase: ``setup``, ``call`` or ``teardown``.
        worker: xdist worker that ran the attempt, ``main`` without xdist.
        evidence: What the probes said, one line each.
        strategy: The recovery that followed, "" if none did.
        level: Level of that recovery, 0 if none.
        reason: Why the test was run again.
    """

    attempt: int
    error_type: str
    infrastructure: bool
    severity: str
    rule: str
    confidence: float
    exception: str
    message: str
    phase: str
    worker: str
    evidence: tuple[str, ...]
    strategy: str
    level: int
    reason: str

    @classmethod
    def of(cls, attempt: Attempt) -> PastDiagnosis:
        """Return what is known of a recorded attempt."""
        return cls(
            attempt=attempt.number,
            error_type=attempt.error_type,
            infrastructure=attempt.infrastructure,
            severity=attempt.severity,
            rule=attempt.rule,
            confidence=attempt.confidence,
            exception=attempt.exception,
            message=attempt.message,
            phase=attempt.phase,
            worker=attempt.worker,
            evidence=tuple(map(_line, attempt.evidence)),
            strategy=attempt.strategy,
            level=attempt.level,
            reason=attempt.reason,
        )


class Resilience(Turnable):
    """The value of the fixture ``resilience``: one attempt of a test, seen from inside it.

    Args:
        item: The test that asks.
    """

    def __init__(self, item: pytest.Item) -> None:
        self._item = item
        previous = item.stash.get(PREVIOUS, None)
        #: Why the attempt before this one failed; None in the first one, and where nothing
        #: diagnoses failures.
        self.diagnosis = PastDiagnosis.of(previous) if previous is not None else None
        # Plugins that run tests again count on the item.
        counted = getattr(item, "execution_count", 1)
        #: Number of this attempt, from 1.
        self.attempt: int = max(previous.number + 1 if previous is not None else 1, counted)

    @functools.cached_property
    def checkpoint(self) -> Checkpoint:
        """What the test has saved, and can save, for its next attempt."""
        from pytest_resilience.plugin.checkpoints import Checkpoint, Shelf

        shelf = self._item.config.stash.get(SHELF, None)
        if shelf is None:
            shelf = self._item.stash.setdefault(SHELF, Shelf())
        return Checkpoint(self._item.nodeid, shelf, self.attempt)

    def __repr__(self) -> str:
        return f"<Resilience of {self._item.nodeid}, attempt {self.attempt}>"


def _line(result: dict[str, object]) -> str:
    detail = result.get("detail")
    told = f"{result.get('probe')}: {result.get('answer')}"
    return f"{told} ({detail})" if detail else told
