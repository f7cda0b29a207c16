"""Faults of what runs in a page: its processor time, its memory, its scripts, its crash.

Invariant: the page at hand is struck, and the fault is there when the function returns:
what crashes was heard to crash.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import psutil

from pytest_resilience.browser import processes
from pytest_resilience.browser.fault_applied import Applied, FaultError, until
from pytest_resilience.browser.fault_devtools import Pages, impose
from pytest_resilience.browser.fault_talk import CALL_LIMIT_S, Message, Talk
from pytest_resilience.core.injection import DEVTOOLS

if TYPE_CHECKING:
    from pytest_resilience.browser.sessions import DriverSession

#: The processor time of a page is divided by this.
THROTTLE = 4
#: Megabytes that a page holds in vain.
BALLAST_MB = 200
#: Seconds a page gets to crash.
CRASH_LIMIT_S = 10.0
#: Seconds a script of ours gets; it may fill a lot of memory on a busy machine.
_SCRIPT_LIMIT_S = 30.0
#: Seconds a page gets to show that it still answers.
_LIFE_LIMIT_S = 1.0
#: Seconds it gets to show that where it may be occupied for a short time only.
_GLANCE_LIMIT_S = 0.3
#: Seconds a page gets to be free again.
_BACK_LIMIT_S = 2.0


_BUSY = "(() => {const t = performance.now(); let n = 0; for (let i = 0; i < 1e7; i++) n += i % 7;"
_BUSY += " return performance.now() - t})()"
# Only pages that were written to are really taken from the system.
_HOLD = f"""(() => {{
    if (window !== window.top) return 0;
    const held = window[Symbol.for('resilience')] = [];
    for (let i = 0; i < {BALLAST_MB}; i++) held.push(new Uint8Array(1048576).fill(1));
    return held.length
}})()"""
_HELD = "(window[Symbol.for('resilience')] || []).length"
_DROP = "delete window[Symbol.for('resilience')]"


def throttle_cpu(applied: Applied) -> None:
    """Leave the page a part of its processor time."""
    with contextlib.closing(Pages(applied.session)) as pages:
        before = _busy_ms(pages)
    method = "Emulation.setCPUThrottlingRate"
    pages = impose(applied, [(method, {"rate": THROTTLE})], [(method, {"rate": 1})])
    applied.prove(rate=THROTTLE, slowdown=round(_busy_ms(pages) / max(before, 0.1), 2))


def fill_heap(applied: Applied) -> None:
    """Let the page hold memory that it does not need; in Chromium every next page as well."""
    session = applied.session
    before = _resident(session)
    if applied.platform in DEVTOOLS:
        pages = impose(applied, [], [("Runtime.evaluate", {"expression": _DROP})])
        page = pages.current()
        pages.call(page, "Page.enable")
        pages.call(page, "Page.addScriptToEvaluateOnNewDocument", {"source": _HOLD})
        held = pages.evaluate(page, _HOLD, _SCRIPT_LIMIT_S)
        applied.look(lambda: {"holds_mb": pages.evaluate(page, _HELD, _LIFE_LIMIT_S)})
    else:
        applied.when_undone(lambda: _script(session, _DROP, _BACK_LIMIT_S))
        held = _script(session, f"return {_HOLD}", _SCRIPT_LIMIT_S)
    grown = {"grown_mb": (_resident(session) - before) >> 20} if not session.remote else {}
    applied.prove(held_mb=held, **grown)


def stall_script(applied: Applied) -> None:
    """Let a script of the page compute without end."""
    endless = "for (;;);"
    if applied.platform not in DEVTOOLS:
        applied.leaves("the script computes until the session is ended")
        _script_soon(applied, endless)
        return
    pages = impose(applied, [], [("Runtime.terminateExecution", {})])
    page = pages.current()
    pages.evaluate(page, f"void setTimeout(() => {{{endless}}}, 0)")
    _prove_silence(applied, pages, page)


def occupy_page(applied: Applied) -> None:
    """Let a script of the page compute for a while."""
    millis = round((applied.fault.lasts_s or 0.0) * 1000)
    occupied = f"const end = Date.now() + {millis}; while (Date.now() < end);"
    applied.prove(seconds=applied.fault.lasts_s)
    if applied.platform not in DEVTOOLS:
        _script_soon(applied, occupied)
        return
    with contextlib.closing(Pages(applied.session)) as pages:
        pages.evaluate(pages.current(), f"void setTimeout(() => {{{occupied}}}, 0)")


def crash_tab(applied: Applied) -> None:
    """Crash the tab."""
    _crash_page(applied, lambda pages, page: pages.talk.tell("Page.crash", sessionId=page))


def open_kill_page(applied: Applied) -> None:
    """Let the process that renders the page end itself."""
    _crash_page(applied, lambda pages, page: _open(pages, page, "chrome://kill"))


def exhaust_memory(applied: Applied) -> None:
    """Let the process that renders the page ask for memory until it gets no more."""
    _crash_page(applied, lambda pages, page: _open(pages, page, "chrome://memory-exhaust"))


def open_hang_page(applied: Applied) -> None:
    """Let the process that renders the page hang for ever."""
    applied.leaves("the page hangs until the session is ended")
    with contextlib.closing(Pages(applied.session)) as pages:
        page = pages.current()
        _open(pages, page, "chrome://hang")
        _prove_silence(applied, pages, page)


def crash_browser(applied: Applied) -> None:
    """Crash the browser."""
    with contextlib.closing(Pages(applied.session)) as pages:
        pages.talk.tell("Browser.crash")
        # A grid keeps a connection open that leads nowhere any more.
        if not until(lambda: not _is_there(pages), within_s=CRASH_LIMIT_S):
            raise FaultError(f"{applied.name}: the browser still answers.")
    applied.prove(crashed=True)


def crash_when(
    session: DriverSession, provoke: Callable[[Pages, str], object], *, limit_s: float
) -> bool:
    """Provoke the crash of the page at hand; return whether it came within `limit_s` seconds."""
    crashed = threading.Event()

    def hear(_talk: Talk, event: Message) -> None:
        if event.get("method") == "Inspector.targetCrashed":
            crashed.set()

    pages = Pages(session, [("Inspector.enable", {})], hear)
    with contextlib.closing(pages):
        provoke(pages, pages.current())
        return crashed.wait(limit_s)


def _crash_page(applied: Applied, provoke: Callable[[Pages, str], object]) -> None:
    if not crash_when(applied.session, provoke, limit_s=CRASH_LIMIT_S):
        raise FaultError(f"{applied.name}: the page did not crash within {CRASH_LIMIT_S:g} s.")
    applied.prove(crashed=True)


def _open(pages: Pages, page: str, url: str) -> None:
    pages.talk.tell("Page.navigate", {"url": url}, sessionId=page)


def _prove_silence(applied: Applied, pages: Pages, page: str) -> None:
    if not until(lambda: not _answers(pages, page), within_s=CRASH_LIMIT_S):
        raise FaultError(f"{applied.name}: the page still answers.")
    applied.prove(answers=False)


def _is_there(pages: Pages) -> bool:
    try:
        pages.talk.call("Browser.getVersion", limit_s=_LIFE_LIMIT_S)
    except FaultError:
        return False
    return True


def _answers(pages: Pages, page: str) -> bool:
    try:
        pages.evaluate(page, "1", _LIFE_LIMIT_S)
    except FaultError:
        return False
    return True


def _busy_ms(pages: Pages) -> float:
    page = pages.current()
    return min(float(pages.evaluate(page, _BUSY, _SCRIPT_LIMIT_S)) for _ in range(3))


def _script(session: DriverSession, script: str, limit_s: float) -> Any:
    """Run a script by WebDriver, on a connection of our own."""
    path = f"/session/{session.session_id}"
    # A script makes a driver close an alert that is in its way.
    if session.wire.ask("GET", f"{path}/alert/text", limit_s=CALL_LIMIT_S).good:
        raise FaultError("the page shows an alert, and so runs no script.")
    body = {"script": script, "args": []}
    reply = session.wire.ask("POST", f"{path}/execute/sync", limit_s=limit_s, body=body)
    if not reply.good:
        raise FaultError(f"the page runs no script: {reply.detail or reply.answer}")
    return reply.value


def _script_soon(applied: Applied, script: str) -> None:
    """Begin a script that computes for long; return once the page does not answer any more."""
    session = applied.session
    # Not before the answer about it is on the way, which it would hold up.
    _script(session, f"setTimeout(() => {{{script}}}, 200)", _SCRIPT_LIMIT_S)
    if not until(lambda: not _runs_scripts(session), within_s=CRASH_LIMIT_S):
        raise FaultError(f"{applied.name}: the page still answers.")
    applied.prove(answers=False)


def _runs_scripts(session: DriverSession) -> bool:
    body = {"script": "return 1", "args": []}
    path = f"/session/{session.session_id}/execute/sync"
    return session.wire.ask("POST", path, limit_s=_GLANCE_LIMIT_S, body=body).good


def _resident(session: DriverSession) -> int:
    """Return the memory that the processes of the pages have, in bytes; 0 if they are far away."""
    browser, total = session.browser_process, 0
    for process in processes.family(browser) if browser is not None else ():
        if processes.role(process) == processes.RENDERER:
            with contextlib.suppress(psutil.Error):
                total += psutil.Process(process.pid).memory_info().rss
    return total
