"""What teardowns raise between two attempts.

Invariant: it fails no test, since what was broken off may well be found unfinished; and it does
not vanish with the attempt, since an assertion may be the product's all the same.
"""

from __future__ import annotations

from pytest_resilience.core import evidence
from pytest_resilience.core.events import Attempt
from pytest_resilience.core.rule import ASSERTIONS
from pytest_resilience.plugin.observe import exception_chain

#: Letters kept of what one teardown raised.
_KEPT = 1_000


def note_teardown(attempt: Attempt, which: str, error: BaseException) -> None:
    """Keep on `attempt` that the teardown `which` raised `error`."""
    names = {name.rpartition(".")[2] for fact in exception_chain(error) for name in fact.mro}
    answer = evidence.ERROR if names.isdisjoint(ASSERTIONS) else evidence.ASSERTED
    detail = f"{which}: {type(error).__name__}: {error}"[:_KEPT]
    noted = evidence.ProbeResult(evidence.TEARDOWN, answer, detail)
    attempt.evidence = (*attempt.evidence, noted.to_dict())
