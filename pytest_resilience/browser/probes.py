"""Evidence about a driver session, cheapest first.

Invariant: a probe changes nothing that a test could see, is bounded in time, and answers;
one that cannot be made is left out, never guessed. Nothing is sent to a session whose
driver is busy with a command, and nothing through the user's own driver object.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from pytest_resilience.browser import (
    answers,
    endings,
    first,
    host,
    latch,
    loads,
    processes,
    target,
)
from pytest_resilience.browser.first import First
from pytest_resilience.browser.loads import Load
from pytest_resilience.browser.processes import ProcessId
from pytest_resilience.core.evidence import (
    ALIVE,
    BROWSER_PROCESS,
    CLOSED,
    CRASHED,
    DEAD,
    DEVTOOLS,
    DRIVER_PROCESS,
    DRIVER_STATUS,
    EMPTY,
    ERROR,
    ERROR_PAGE,
    GATEWAY,
    GONE,
    GPU_PROCESS,
    GRID,
    LATCH,
    LIFELESS,
    NODE,
    OK,
    OWN_NETWORK,
    PAGE,
    REFUSED,
    RENDERER_PROCESS,
    SERVER_ERROR,
    SESSION,
    SILENT,
    STOPPED,
    ZOMBIE,
    Evidence,
    ProbeResult,
)
from pytest_resilience.core.failures import ErrorType

if TYPE_CHECKING:
    from pytest_resilience.browser.sessions import DriverSession, FailedStart
    from pytest_resilience.browser.tunnel import FarProcesses, Tunnel
    from pytest_resilience.browser.wire import Reply

#: Seconds a driver or DevTools gets for an answer that needs no work (measured: 1 ms).
STATUS_LIMIT_S = 0.7
#: Seconds a session gets for a script that does nothing (measured: 6 ms).
SESSION_LIMIT_S = 2.0
#: Seconds a grid gets to describe itself.
GRID_LIMIT_S = 1.5
#: Seconds for which an answer speaks for the session that gave it.
_FRESH_S = 1.0
#: What the rules about graphics read in a detail.
_REPLACED = "started after the session"
_LOST = LIFELESS | {STOPPED}
_UNREACHABLE = frozenset({REFUSED, SILENT, ERROR})

_ALERT_OPEN = "alert open"
#: What a page that answers can show.
_SHOWN = frozenset({OK, ERROR_PAGE, GATEWAY, SERVER_ERROR})


def probe(
    session: DriverSession, *, deadline_s: float = 2.0, asked: First | None = None
) -> Iterator[ProbeResult]:
    """Yield what can be found out about `session`, stopping when its fate is settled.

    Args:
        session: Any session; one that the test ended has nothing but its past to tell.
        deadline_s: Seconds after which no further probe of the session itself is begun or
            waited for; the server of its page gets its own, if it may be to blame.
        asked: A question it was sent already; whether its answer is read depends on what
            befell the session since.
    """
    found: list[ProbeResult] = []
    for result in _of_itself(session, time.monotonic() + deadline_s, asked):
        found.append(result)
        yield result
    for examine in (target.examine, host.examine, target.examine_again):
        if (surrounding := examine(session, Evidence(found))) is not None:
            found.append(surrounding)
            yield surrounding


def probe_start(failed: FailedStart, *, deadline_s: float = 2.0) -> Iterator[ProbeResult]:
    """Yield what can be found out about a session that could not be started."""
    if failed.wire is not None and failed.remote:
        begun = time.monotonic()
        reply = failed.wire.ask("GET", "/status", limit_s=min(GRID_LIMIT_S, deadline_s))
        yield _result(GRID, answers.grid_answer(reply, None, failed.requested), begun)
    else:
        yield host.examine_start()


def is_healthy(session: DriverSession) -> bool:
    """Return whether `session` can be used, as cheaply as that can be told (2 to 6 ms).

    Leaves the session as it is: even an open alert stays open. A crashed or frozen tab of a
    Chromium is noticed, a frozen one of a Firefox is not. A session that has just answered is
    not asked again; of that one the processes alone are looked at (0.2 ms).
    """
    if session.closed:
        return False
    known = (session.driver_process, session.browser_process)
    if any(processes.state(process) in _LOST for process in known if process is not None):
        return False
    if session.first_failure is None and time.monotonic() - session.in_flight_since < _FRESH_S:
        return True
    reply = _ask_alert(session, STATUS_LIMIT_S if not session.remote else GRID_LIMIT_S)
    return answers.session_answer(reply)[0] == OK


def broken(evidence: Evidence) -> bool:
    """Return whether `evidence` says that its session cannot be used any more."""
    return (
        needs_driver(evidence)
        or evidence.answer(BROWSER_PROCESS) in _LOST
        or evidence.answer(DEVTOOLS) in (REFUSED, SILENT)
        or evidence.answer(SESSION) in (CRASHED, DEAD, SILENT, REFUSED)
        or evidence.answer(GRID) == DEAD
        or evidence.answer(NODE) in (DEAD, SILENT, REFUSED)
        or STOPPED in (evidence.answer(RENDERER_PROCESS), evidence.answer(GPU_PROCESS))
    )


def needs_driver(evidence: Evidence) -> bool:
    """Return whether `evidence` says that the driver process itself is of no use any more."""
    return evidence.answer(DRIVER_PROCESS) in _LOST or evidence.answer(DRIVER_STATUS) in (
        REFUSED,
        SILENT,
    )


class _Prober:
    """The probes of one session, each of which leaves its answer for the next ones."""

    def __init__(self, session: DriverSession, deadline: float, asked: First | None) -> None:
        self._session = session
        self._deadline = deadline
        self._asked_first = asked
        self._answers: dict[str, str] = {}

    def local(self) -> Iterator[ProbeResult]:
        """Ask everything that can be asked of a browser on this machine."""
        session = self._session
        yield from self._processes()
        if not _LOST.isdisjoint(self._answers.values()):
            return
        settled = self._at_once()
        if settled:
            yield from self._graphics()
            yield from map(self._note, settled)
            return
        before = set(session.relatives)
        roles = self._roles()
        renderers = [process for process, role in roles.items() if role == processes.RENDERER]
        load = self._load(renderers)
        yield from self._renderers(renderers)
        yield from self._gpu([p for p, role in roles.items() if role == processes.GPU], before)
        yield from self._wires()
        if not _UNREACHABLE.isdisjoint(self._answers.values()):
            # A signal may have been on its way when the processes were looked at.
            yield from self._processes()
        if not _LOST.isdisjoint(self._answers.values()):
            return
        if self._answers.get(DRIVER_STATUS) not in (REFUSED, SILENT):
            yield from self._session_and_page()
        yield from self._busy(load)

    def _at_once(self) -> list[ProbeResult]:
        """Ask the page alone; return nothing unless it answers, which settles the rest."""
        session, asked, begun = self._session, self._asked_first, time.monotonic()
        if asked is None or not asked.speaks_for(session):
            asked = first.ask(session)
        if asked is None:
            return []
        reply = asked.alert(limit_s=STATUS_LIMIT_S)
        if reply.good:
            return [_result(SESSION, _alert(reply), begun)]
        if answers.session_answer(reply)[0] != OK:
            return []
        alive, begun = _result(SESSION, (OK, ""), begun), time.monotonic()
        page = answers.page_answer(asked.page(limit_s=STATUS_LIMIT_S))
        return [alive, _result(PAGE, page, begun)] if page[0] in _SHOWN else []

    def _graphics(self) -> Iterator[ProbeResult]:
        """Look at the graphics process; only if it is none of those known, look for another."""
        session, begun = self._session, time.monotonic()
        if session.gpu is None:
            drawing = (p for p in session.relatives if processes.role(p) == processes.GPU)
            session.gpu = next(drawing, None)
        if session.gpu is not None and processes.state(session.gpu) == ALIVE:
            yield self._note(_result(GPU_PROCESS, (ALIVE, f"pid {session.gpu.pid}"), begun))
            return
        before = set(session.relatives)
        yield from self._gpu([p for p, r in self._roles().items() if r == processes.GPU], before)

    def _roles(self) -> dict[ProcessId, str]:
        endings.refresh_relatives(self._session)
        return {process: processes.role(process) for process in self._session.relatives}

    def remote(self) -> Iterator[ProbeResult]:
        """Ask everything that can be asked of a browser elsewhere."""
        limit_s = self._limit(GRID_LIMIT_S)
        begun = time.monotonic()
        reply = self._session.wire.ask("GET", "/status", limit_s=limit_s)
        yield self._note(_result(GRID, answers.grid_answer(reply, self._session.session_id), begun))
        if self._answers[GRID] in (*_UNREACHABLE, EMPTY):
            return
        tunnel = self._session.care.tunnel
        far = tunnel.processes(limit_s=self._limit(STATUS_LIMIT_S)) if tunnel else None
        load = self._far_load(tunnel, far)
        if tunnel and far and tunnel.has_new_graphics(far):
            found = ProbeResult(GPU_PROCESS, ALIVE, f"pid {min(far.graphics)}, {_REPLACED}")
            yield self._note(found)
        for asked in self._session_and_page():
            yield asked
            if asked.answer == REFUSED:
                refuser = answers.refuser(reply, self._session.session_id, asked.detail)
                if refuser is not None:
                    yield self._note(ProbeResult(*refuser))
        yield from self._busy(load)

    def _load(self, renderers: list[ProcessId]) -> Load:
        def ask() -> dict[int, float]:
            return {process.pid: processes.demand_seconds(process) for process in renderers}

        return Load(ask(), ask, loads.SHARE)

    def _far_load(self, tunnel: Tunnel | None, far: FarProcesses | None) -> Load:
        def ask() -> Mapping[int, float]:
            # The time for the session itself is used up by then.
            found = tunnel.processes(limit_s=GRID_LIMIT_S) if tunnel else None
            return found.renderers if found else {}

        return Load(far.renderers if far else {}, ask, loads.SHARE_GOT)

    def _wires(self) -> Iterator[ProbeResult]:
        session = self._session
        # A geckodriver answers nothing at all while a command is stuck in it.
        if not (session.browser == "firefox" and session.care.is_busy(session)):
            yield self._asked(
                DRIVER_STATUS,
                lambda limit_s: answers.reachable(
                    session.wire.ask("GET", "/status", limit_s=limit_s)
                ),
            )
        address = answers.debugger_address(session.capabilities)
        if address:
            url = f"http://{address}/json/version"
            yield self._asked(
                DEVTOOLS,
                lambda limit_s: answers.reachable(session.wire.ask_elsewhere(url, limit_s=limit_s)),
            )

    def _session_and_page(self) -> Iterator[ProbeResult]:
        session = self._session
        if session.care.is_busy(session) or time.monotonic() >= self._deadline:
            return

        def ask(limit_s: float) -> tuple[str, str]:
            reply = _ask_alert(session, limit_s)
            if reply.good:
                return _alert(reply)
            if answers.session_answer(reply)[0] != OK:
                return answers.session_answer(reply)
            return answers.session_answer(_run_script(session, "return 1;", self._limit(limit_s)))

        asked = self._asked(SESSION, ask, limit_s=SESSION_LIMIT_S)
        yield asked
        if asked.answer == OK and not asked.detail.startswith(_ALERT_OPEN):
            yield self._asked(PAGE, lambda limit_s: _page(session, limit_s))

    def _processes(self) -> Iterator[ProbeResult]:
        session = self._session
        if session.browser_process is not None:
            yield self._process(BROWSER_PROCESS, session.browser_process)
        if session.driver_process is not None:
            yield self._process(DRIVER_PROCESS, session.driver_process)

    def _process(self, name: str, process: ProcessId) -> ProbeResult:
        begun = time.monotonic()
        return self._note(_result(name, (processes.state(process), f"pid {process.pid}"), begun))

    def _renderers(self, renderers: list[ProcessId]) -> Iterator[ProbeResult]:
        if renderers:
            begun = time.monotonic()
            states = {process.pid: processes.state(process) for process in renderers}
            yield self._note(_result(RENDERER_PROCESS, _worst(states), begun))

    def _gpu(self, found: list[ProcessId], before: set[ProcessId]) -> Iterator[ProbeResult]:
        if not found:
            return
        begun = time.monotonic()
        answer, detail = _worst({process.pid: processes.state(process) for process in found})
        if answer == ALIVE:
            self._session.gpu = next(p for p in found if processes.state(p) == ALIVE)
        if before.isdisjoint(found):
            # Chromium replaces a graphics process that died, and the page lost its contexts.
            detail = f"{detail}, {_REPLACED}"
        yield self._note(_result(GPU_PROCESS, (answer, detail), begun))

    def _busy(self, load: Load) -> Iterator[ProbeResult]:
        found = load.busy() if self._answers.get(SESSION, SILENT) == SILENT else None
        if found is not None:
            yield self._note(found)

    def _asked(
        self,
        name: str,
        ask: Callable[[float], tuple[str, str]],
        *,
        limit_s: float = STATUS_LIMIT_S,
    ) -> ProbeResult:
        begun = time.monotonic()
        return self._note(_result(name, ask(self._limit(limit_s)), begun))

    def _limit(self, wanted_s: float) -> float:
        return max(0.05, min(wanted_s, self._deadline - time.monotonic()))

    def _note(self, result: ProbeResult) -> ProbeResult:
        self._answers[result.probe] = result.answer
        return result


def _of_itself(
    session: DriverSession, deadline: float, asked: First | None
) -> Iterator[ProbeResult]:
    yield from _past(session)
    if session.discarded or not session.closed:
        prober = _Prober(session, deadline, asked)
        yield from prober.remote() if session.remote else prober.local()


def _past(session: DriverSession) -> Iterator[ProbeResult]:
    fact = session.first_failure
    yield from session.hang_evidence
    if fact is not None:
        yield ProbeResult(LATCH, latch.label_of(fact), f"{fact.type_name}: {fact.message}"[:300])
    if session.closed_by_test and (fact is None or target.is_of_loading(fact)):
        yield ProbeResult(LATCH, CLOSED, "by quit" if session.closed else "by closing it")
    elif fact is None and session.discarded:
        # Whoever still uses it was not given another one.
        yield ProbeResult(LATCH, ErrorType.BROWSER.label, "found broken, and ended by us")
    if session.care.network:
        yield ProbeResult(OWN_NETWORK, session.care.network, "by a command of a test")


def _worst(states: Mapping[int, str]) -> tuple[str, str]:
    """Return the state that explains most, and the pids that are in it."""
    for state in (STOPPED, ZOMBIE, ALIVE):
        pids = [str(pid) for pid, found in states.items() if found == state]
        if pids:
            return state, f"pid {', '.join(pids)}"
    return GONE, ""


def _ask_alert(session: DriverSession, limit_s: float) -> Reply:
    """Ask for the text of an alert: reaches the page, and changes nothing on it."""
    return session.wire.ask("GET", f"/session/{session.session_id}/alert/text", limit_s=limit_s)


def _alert(reply: Reply) -> tuple[str, str]:
    # A script would make the driver dismiss the alert.
    return OK, f"{_ALERT_OPEN}: {str(reply.value)[:100]}"


def _page(session: DriverSession, limit_s: float) -> tuple[str, str]:
    return answers.page_answer(_run_script(session, answers.PAGE_SCRIPT, limit_s))


def _run_script(session: DriverSession, script: str, limit_s: float) -> Reply:
    body = {"script": script, "args": []}
    path = f"/session/{session.session_id}/execute/sync"
    return session.wire.ask("POST", path, limit_s=limit_s, body=body)


def _result(name: str, answer: tuple[str, str], begun: float) -> ProbeResult:
    return ProbeResult(name, answer[0], answer[1], time.monotonic() - begun)
