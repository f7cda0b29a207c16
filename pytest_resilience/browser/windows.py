"""Gives a session another tab for one that died.

Invariant: cookies, storage and the other tabs of the session stay as they are; a tab that
answers is never closed; every step is bounded in time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pytest_resilience.browser import answers, endings, processes
from pytest_resilience.core.evidence import ALIVE, CRASHED, ERROR, OK, PAGE, SESSION, Evidence

if TYPE_CHECKING:
    from pytest_resilience.browser.sessions import DriverSession

#: Seconds each question to driver or browser gets (measured: 60 ms at most).
_LIMIT_S = 5.0
#: Seconds a tab gets to say that it lives.
_LIFE_LIMIT_S = 1.0


def is_all_that_died(session: DriverSession, evidence: Evidence) -> bool:
    """Return whether a tab is all of `session` that is broken, and can be replaced.

    That takes a Chromium on this machine; a Firefox does not outlive its tabs.
    """
    known = (session.driver_process, session.browser_process)
    return (
        CRASHED in (evidence.answer(SESSION), evidence.answer(PAGE))
        and not (session.remote or session.closed)
        and bool(answers.debugger_address(session.capabilities))
        and all(p is not None and processes.state(p) == ALIVE for p in known)
    )


def replace_dead_tab(session: DriverSession) -> bool:
    """Open a tab, let the driver go on there, and close every tab that died.

    Returns False if that could not be done; the session is then as broken as before.
    """
    handle = _open(session)
    known = session.wire.ask("GET", _path(session, "/window/handles"), limit_s=_LIMIT_S)
    if not handle or not known.good or handle not in known.value:
        return False
    others = [other for other in known.value if other != handle]
    dead = [other for other in others if _answer_in(session, other) == CRASHED]
    # Asked last, so that this is where the driver stays.
    if _answer_in(session, handle) != OK:
        return False
    for other in dead:
        _devtools(session, f"/json/close/{other}")
    session.first_failure = session.care.hang = None
    session.care.view.close()
    endings.refresh_relatives(session)
    return True


def _open(session: DriverSession) -> str:
    reply = _devtools(session, "/json/new?about:blank", method="PUT")
    return str(reply.get("id", ""))


def _devtools(session: DriverSession, path: str, *, method: str = "GET") -> Mapping[str, object]:
    address = answers.debugger_address(session.capabilities)
    url = f"http://{address}{path}"
    reply = session.wire.ask_elsewhere(url, limit_s=_LIMIT_S, method=method)
    return reply.value if isinstance(reply.value, Mapping) else {}


def _answer_in(session: DriverSession, handle: str) -> str:
    """Switch to the tab called `handle` and return how it answers."""
    path = _path(session, "/window")
    chosen = session.wire.ask("POST", path, limit_s=_LIMIT_S, body={"handle": handle})
    if not chosen.good:
        return chosen.answer if chosen.answer != OK else ERROR
    # The text of an alert: it reaches the page, and changes nothing on it.
    asked = session.wire.ask("GET", _path(session, "/alert/text"), limit_s=_LIFE_LIMIT_S)
    return answers.session_answer(asked)[0]


def _path(session: DriverSession, rest: str) -> str:
    return f"/session/{session.session_id}{rest}"
