"""How long a WebDriver command may take before it is looked after, and before it is given up.

Invariant: pure; no deadline is shorter than a time-out that the user has set for the kind
of command it is for, and time-outs nobody set (a driver's defaults) lengthen none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

#: Seconds a client gets beyond the longest time-out of the driver it waits for.
CLIENT_MARGIN_S = 10.0
#: Seconds selenium lets a client of a local driver wait when nobody says otherwise.
SELENIUM_CLIENT_S = 120.0
#: Seconds a client waits for a new session: a grid queues a request for 300 s by default.
NEW_SESSION_CLIENT_S = 600.0
#: How much slower than its slowest predecessor a command may be, and up to which deadline.
_HISTORY_FACTOR, _HISTORY_CAP_S = 3.0, 30.0

# What may have to wait for a page to be loaded, besides the commands that ask for it.
_NAVIGATING = frozenset(
    {
        "get",
        "refresh",
        "goBack",
        "goForward",
        "newWindow",
        "clickElement",
        "submitElement",
        "sendKeysToElement",
        "actions",
    }
)
_SCRIPTING = frozenset(
    {"executeScript", "executeAsyncScript", "w3cExecuteScript", "w3cExecuteScriptAsync"}
)
_TIMEOUTS = ("pageLoad", "script", "implicit")


def governing_timeout(command: str) -> str:
    """Return the name of the WebDriver time-out that bounds `command`, "" if none does."""
    if command in _NAVIGATING:
        return "pageLoad"
    if command in _SCRIPTING:
        return "script"
    return "implicit" if command.startswith("find") else ""


def deadline(
    command: str,
    *,
    hang_timeout_s: float,
    timeouts_ms: Mapping[str, Any],
    slowest_s: float = 0.0,
) -> float:
    """Return the seconds after which `command` is worth a look.

    Args:
        command: Name of the command as selenium calls it.
        hang_timeout_s: The shortest deadline there is.
        timeouts_ms: Time-outs the user has set, by their WebDriver names, milliseconds.
        slowest_s: The longest this command has taken in this session.
    """
    allowed_s = _seconds(timeouts_ms.get(governing_timeout(command)))
    history_s = min(_HISTORY_FACTOR * slowest_s, _HISTORY_CAP_S)
    return max(hang_timeout_s, allowed_s, history_s)


def client_limit(set_ms: Mapping[str, Any], granted_ms: Mapping[str, Any]) -> float | None:
    """Return the seconds a client should wait for an answer, None for ever.

    Longer than anything the driver may take, so that the driver says what was too slow
    and the session stays usable.

    Args:
        set_ms: Time-outs the user has set.
        granted_ms: Those the driver began with.
    """
    valid = {**granted_ms, **set_ms}
    if any(name in valid and valid[name] is None for name in _TIMEOUTS):
        return None
    longest_s = max(_seconds(valid.get(name)) for name in _TIMEOUTS)
    return max(SELENIUM_CLIENT_S, longest_s + CLIENT_MARGIN_S)


def requested_timeouts(requested: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the time-outs that requested capabilities, flat or W3C, ask for."""
    found: dict[str, Any] = {}
    for capabilities in _capability_sets(requested or {}):
        timeouts = capabilities.get("timeouts")
        if isinstance(timeouts, Mapping):
            found.update({n: timeouts[n] for n in _TIMEOUTS if n in timeouts})
    return found


def _capability_sets(requested: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield requested
    w3c = requested.get("capabilities")
    if isinstance(w3c, Mapping):
        first = w3c.get("firstMatch")
        for match in (w3c.get("alwaysMatch"), *(first if isinstance(first, list) else ())):
            if isinstance(match, Mapping):
                yield match


def _seconds(milliseconds: Any) -> float:
    if isinstance(milliseconds, bool) or not isinstance(milliseconds, int | float):
        return 0.0
    # Not a number is not a time-out.
    return milliseconds / 1000 if milliseconds > 0 else 0.0
