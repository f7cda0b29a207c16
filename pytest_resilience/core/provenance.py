"""Which exceptions came out of a command of a driver, or of its start.

The words of a test's own exceptions, and the names of their classes, can be those of a browser
stack: an API client that says "socket hang up", a page object that quotes a page. So what a
driver, or the way to it, has raised is stamped where it is raised.

Invariant: a stamp is given by those who watch the commands, and by nobody else.
"""

from __future__ import annotations

import contextlib

from pytest_resilience.core.failures import ExceptionFact

_STAMP = "_resilience_of_driver"
#: Packages whose exceptions count without a stamp: nobody watches the commands of the first,
#: the second is our own, and selenium looks for its drivers before anything is watched.
_TRUSTED = (
    "playwright.",
    "pytest_resilience.",
    "selenium.common.exceptions.NoSuchDriverException",
)
#: Packages whose exceptions, and kinds of them, commands of a driver raise.
_STACK = ("selenium.", "urllib3.", "http.client", "pytest_resilience.")
#: Modules of Python whose own exceptions they raise.
_PYTHONS = frozenset({"builtins", "socket", "ssl", "json.decoder"})
#: What an exception of a driver's connection was raised from.
_BELOW = ("urllib3.", "http.client.", "builtins.", "socket.", "ssl.", "selenium.")


def is_of_stack(error: BaseException) -> bool:
    """Return whether a command can raise `error` by itself.

    What it cannot raise has broken it off from outside: a time limit of the suite's own, a Ctrl-C.
    """
    kinds = type(error).__mro__
    if is_stamped(error) or any(str(kind.__module__).startswith(_STACK) for kind in kinds):
        return True
    return isinstance(error, Exception) and kinds[0].__module__ in _PYTHONS


def is_stamped(error: BaseException) -> bool:
    """Return whether it was noted that `error` came out of a command of a driver."""
    try:
        return getattr(error, _STAMP, False) is True
    except Exception:  # noqa: BLE001 - it answers questions about itself by its own means
        return False


def stamp(error: BaseException) -> None:
    """Note that `error` came out of a command of a driver."""
    # A class may forbid it by its own means; its exceptions are then none of a driver's.
    with contextlib.suppress(Exception):
        setattr(error, _STAMP, True)


def is_of_driver(error: BaseException, mro: tuple[str, ...], behind: bool | None) -> bool:
    """Return whether `error` is to be believed to be of the browser stack.

    Args:
        mro: Qualified names of its classes.
        behind: Whether that is so of the exception which it is the cause of; None if it is none.
    """
    own = mro[0] if mro else ""
    if is_stamped(error) or own.startswith(_TRUSTED):
        return True
    return bool(behind) and own.startswith(_BELOW)


def all_of_driver(chain: tuple[ExceptionFact, ...]) -> bool:
    """Return whether of each member of an exception group, or of `chain`, a part is of a driver."""
    starts = [number for number, fact in enumerate(chain) if fact.relation == "member"] or [0]
    ends = [*starts[1:], len(chain)]
    parts = (chain[start:end] for start, end in zip(starts, ends, strict=True))
    return all(any(fact.of_driver is not False for fact in part) for part in parts)
