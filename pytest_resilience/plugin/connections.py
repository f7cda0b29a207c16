"""Fixtures whose value is a connection of the database library that failed.

Invariant: a fixture is chosen by the class of its value alone, never by its name; nothing
of the database library is imported or called.
"""

from __future__ import annotations

from collections.abc import Iterable

from pytest_resilience.core.failures import ExceptionFact
from pytest_resilience.core.rules.host import DATABASES
from pytest_resilience.plugin.fixtures import FixtureDef, FixtureKeeper

_KNOWN = {pattern.partition(".")[0] for pattern in DATABASES}
#: What PEP 249 calls the errors of any library.
_STANDARD_ERRORS = frozenset({"DatabaseError", "InterfaceError"})
#: How whatever holds a connection is ended, in PEP 249 and in the libraries of our rules.
_ENDINGS = ("close", "dispose", "aclose", "disconnect")


def libraries(chain: Iterable[ExceptionFact]) -> frozenset[str]:
    """Return the database libraries that raised one of `chain`, by their top-level modules."""
    raised = {name for fact in chain for name in fact.mro}
    return frozenset(
        _top(name)
        for name in raised
        if _top(name) in _KNOWN or name.rpartition(".")[2] in _STANDARD_ERRORS
    )


def holders(keeper: FixtureKeeper, failed: frozenset[str]) -> list[FixtureDef]:
    """Return the fixtures that hold a connection, engine or cursor of the `failed` libraries."""
    if not failed:
        return []
    return [fixturedef for fixturedef, value in keeper.values() if _is_connection(value, failed)]


def _is_connection(value: object, failed: frozenset[str]) -> bool:
    kind = type(value)
    ours = any(_top(base.__module__) in failed for base in kind.__mro__)
    return ours and any(callable(getattr(kind, ending, None)) for ending in _ENDINGS)


def _top(name: str) -> str:
    # Some name their compiled part `_library`, and hand out its classes.
    return name.partition(".")[0].removeprefix("_")
