"""What teardowns raise: after the last attempt, and between two.

Invariant: of the former nothing is excused but that the browser was lost, for no teardown is run
again. The latter fails no test, since what was broken off may well be found unfinished; and it
does not vanish with the attempt, since an assertion may be the product's all the same.
"""

from __future__ import annotations

from pytest_resilience.core import evidence
from pytest_resilience.core.events import Attempt
from pytest_resilience.core.failures import ErrorType
from pytest_resilience.core.provenance import all_of_driver
from pytest_resilience.core.statement import ASSERTIONS
from pytest_resilience.plugin.observe import exception_chain

#: What can befall a page of a browser that is well.
_OF_PAGES = frozenset({ErrorType.NETWORK, ErrorType.TIMEOUT, ErrorType.DATABASE})
#: Letters kept of what one teardown raised.
_KEPT = 1_000


def is_noise(error_type: ErrorType, error: BaseException) -> bool:
    """Return whether `error` of a last teardown says only that it has lost its browser.

    An assertion, or an order that could not be deleted, says more, also where a browser died.
    """
    lost = error_type.infrastructure and error_type not in _OF_PAGES
    return lost and all_of_driver(exception_chain(error))


def note_teardown(attempt: Attempt, which: str, error: BaseException) -> None:
    """Keep on `attempt` that the teardown `which` raised `error`."""
    names = {name.rpartition(".")[2] for fact in exception_chain(error) for name in fact.mro}
    answer = evidence.ERROR if names.isdisjoint(ASSERTIONS) else evidence.ASSERTED
    detail = f"{which}: {type(error).__name__}: {error}"[:_KEPT]
    noted = evidence.ProbeResult(evidence.TEARDOWN, answer, detail)
    attempt.evidence = (*attempt.evidence, noted.to_dict())
