"""Longer time-outs for pages and scripts, for a while.

Invariant: what the user has set is remembered as it was set, and is in force again once the
factor is 1; how long is waited for the product (implicit waits, explicit ones) is never
changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_resilience.browser.sessions import DriverSession

#: Time-outs that bound the browser's work, not the product's.
_STRETCHED = ("pageLoad", "script")
#: Seconds the driver gets to take note.
_LIMIT_S = 5.0


def is_limited(session: DriverSession) -> bool:
    """Return whether the user has set a time-out for pages or scripts of `session`."""
    return any(name in session.care.own_timeouts(session) for name in _STRETCHED)


def stretch(session: DriverSession, factor: float) -> None:
    """Let the time-outs of `session` be `factor` times what the user has set; never raises."""
    if session.care.patience == factor or session.closed:
        return
    session.care.patience = factor
    own = session.care.own_timeouts(session)
    wanted = {k: v for k, v in stretched(own, factor).items() if k in _STRETCHED}
    if wanted:
        path = f"/session/{session.session_id}/timeouts"
        session.wire.ask("POST", path, limit_s=_LIMIT_S, body=wanted)
    session.care.nest(session)


def stretched(timeouts: Mapping[str, Any], factor: float) -> dict[str, Any]:
    """Return `timeouts` with those for pages and scripts multiplied by `factor`."""
    return {
        name: round(value * factor)
        if name in _STRETCHED and isinstance(value, int | float)
        else value
        for name, value in timeouts.items()
    }
