"""Why a command hangs: what is asked while it does, and who is to blame.

Invariant: a culprit is a process that is stopped or gone, or something that answered
before and does not now; a page that is slow or computes without end is none. Nothing that
is asked waits for the hanging command, or changes what a test could see.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from selenium.common.exceptions import WebDriverException

from pytest_resilience.browser import endings, processes
from pytest_resilience.browser.answers import serving
from pytest_resilience.browser.tunnel import Tunnel
from pytest_resilience.core.evidence import (
    ALIVE,
    BROWSER_PROCESS,
    DEAD,
    DEVTOOLS,
    DRIVER_PROCESS,
    DRIVER_STATUS,
    EMPTY,
    ERROR,
    GPU_PROCESS,
    GRID,
    LIFELESS,
    NODE,
    OK,
    REFUSED,
    RENDERER_PROCESS,
    SILENT,
    STOPPED,
    Evidence,
    ProbeResult,
)

if TYPE_CHECKING:
    from pytest_resilience.browser.processes import ProcessId
    from pytest_resilience.browser.sessions import DriverSession
    from pytest_resilience.browser.watchdog import Hang
    from pytest_resilience.browser.wire import Reply

#: Seconds everything gets that can be asked without waiting for the command.
ANSWER_LIMIT_S = 2.0

# Geckodriver answers nothing while a command is stuck in it, so its silence says nothing.
_CHROMIUM = frozenset({"chrome", "chromium", "msedge", "microsoftedge", "opera", "webview2"})
# No such command exists: a chromedriver says so at once, past the queue of its session.
_NO_COMMAND = "resilience-echo"
# The node itself answers this, whatever its driver does.
_NODE_COMMAND = "se/files"
_UNREACHABLE = frozenset({SILENT, REFUSED})

Answer = tuple[str, str]


class CommandHung(WebDriverException):
    """A command was ended because what should have answered it does not work any more."""

    slug = "hung-command"

    def __init__(self, hang: Hang) -> None:
        super().__init__(
            f"{hang.command}: ended after {hang.seconds:.1f} s: {hang.cause.text} [{self.slug}]"
        )


@dataclass(frozen=True, slots=True)
class Cause:
    """Who is to blame for a hang.

    Attributes:
        probe: The probe that found it.
        answer: What that probe answered.
        text: The culprit and its state, for people; begins as the rules about hangs expect.
    """

    probe: str
    answer: str
    text: str

    def is_like(self, other: Cause | None) -> bool:
        """Return whether `other` blames the same thing for the same reason."""
        return other is not None and (self.probe, self.answer) == (other.probe, other.answer)


# Questions


def listen(session: DriverSession) -> frozenset[str]:
    """Return the probes that something far away answers, while nothing is wrong yet.

    A firewall may swallow what a probe asks; its silence must never be taken for a hang.
    """
    if not session.remote:
        return frozenset({DRIVER_STATUS, DEVTOOLS})
    if session.session_id and session.care.tunnel is None and is_chromium(session):
        session.care.tunnel = Tunnel.to(session, limit_s=2 * ANSWER_LIMIT_S)
    return answered(Evidence(_remote(session, limit_s=2 * ANSWER_LIMIT_S)))


def answered(evidence: Evidence) -> frozenset[str]:
    """Return the probes that something answered over a wire."""
    return frozenset(result.probe for result in evidence if result.answer == OK)


def examine(session: DriverSession) -> Evidence:
    """Ask all that can be asked about `session` while its command hangs, in about 2 s."""
    return Evidence(_remote(session) if session.remote else _local(session))


def _local(session: DriverSession) -> list[ProbeResult]:
    begun = time.monotonic()
    endings.refresh_relatives(session)
    found = [
        _process(name, [process], begun)
        for name, process in (
            (DRIVER_PROCESS, session.driver_process),
            (BROWSER_PROCESS, session.browser_process or _beginner(session)),
        )
        if process is not None
    ]
    roles = {process: processes.role(process) for process in session.relatives}
    for name, role in ((RENDERER_PROCESS, processes.RENDERER), (GPU_PROCESS, processes.GPU)):
        children = [p for p in roles if roles[p] == role and processes.state(p) not in LIFELESS]
        if children:
            found.append(_process(name, children, begun))
    if any(result.answer == STOPPED for result in found) or not is_chromium(session):
        return found
    wire, address = session.wire, debugger_address(session.capabilities)
    asked = {DRIVER_STATUS: lambda: _reached(wire.ask("GET", "/status", limit_s=ANSWER_LIMIT_S))}
    if address:
        url = f"http://{address}/json/version"
        asked[DEVTOOLS] = lambda: _reached(wire.ask_elsewhere(url, limit_s=ANSWER_LIMIT_S))
    return [*found, *_ask_all(asked)]


def _remote(session: DriverSession, limit_s: float = ANSWER_LIMIT_S) -> list[ProbeResult]:
    status: list[Reply] = []

    def grid() -> Answer:
        reply = session.wire.ask("GET", "/status", limit_s=limit_s)
        status.append(reply)
        return _grid(reply, session)

    def through(path: str) -> Callable[[], Answer]:
        place = f"/session/{session.session_id}/{path}"
        return lambda: _reached(session.wire.ask("GET", place, limit_s=limit_s))

    asked = {GRID: grid}
    if session.session_id:
        asked[NODE] = through(_NODE_COMMAND)
        if is_chromium(session):
            asked[DRIVER_STATUS] = through(_NO_COMMAND)
        tunnel = session.care.tunnel
        if tunnel is not None:
            asked[DEVTOOLS] = lambda: tunnel.ask(limit_s=limit_s)
    found = _ask_all(asked)
    nodes = _nodes(status[0]) if status else None
    if nodes is None:
        # No grid has nodes that could be at fault: it is the driver that answered, or not.
        return [result for result in found if result.probe != NODE]
    down = _down(nodes, session.session_id)
    return [*found, ProbeResult(NODE, DEAD, down)] if down else found


def is_chromium(session: DriverSession) -> bool:
    """Return whether the browser of `session` is one of Chromium's family."""
    return session.browser in _CHROMIUM


def debugger_address(capabilities: Mapping[str, Any]) -> str:
    """Return host and port of the browser's DevTools, "" if it has none."""
    for value in capabilities.values():
        if isinstance(value, Mapping) and isinstance(value.get("debuggerAddress"), str):
            return str(value["debuggerAddress"])
    return ""


def _beginner(session: DriverSession) -> ProcessId | None:
    """Return a stopped process of a browser that has not got its session yet."""
    others = session.relatives - {session.driver_process}
    return next((p for p in others if processes.state(p) == STOPPED), None)


def _process(name: str, found: Iterable[ProcessId], begun: float) -> ProbeResult:
    states = {process.pid: processes.state(process) for process in found}
    worst = next((s for s in (STOPPED, ALIVE) if s in states.values()), next(iter(states.values())))
    pids = ", ".join(str(pid) for pid, state in states.items() if state == worst)
    return ProbeResult(name, worst, f"pid {pids}", time.monotonic() - begun)


def _ask_all(questions: Mapping[str, Callable[[], Answer]]) -> list[ProbeResult]:
    """Ask everything at the same time, for each may take as long as it is given."""
    results: dict[str, ProbeResult] = {}

    def ask(name: str, question: Callable[[], Answer]) -> None:
        begun = time.monotonic()
        try:
            answer, detail = question()
        except Exception as error:  # noqa: BLE001 - every way of failing is an answer
            answer, detail = ERROR, f"{type(error).__name__}: {error}"[:300]
        results[name] = ProbeResult(name, answer, detail, time.monotonic() - begun)

    threads = [
        threading.Thread(target=ask, args=pair, daemon=True, name=f"resilience-{pair[0]}")
        for pair in questions.items()
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5 * ANSWER_LIMIT_S)
    return [results[name] for name in questions if name in results]


def _reached(reply: Reply) -> Answer:
    # Whoever refuses a command has answered.
    return reply.answer, "" if reply.answer == OK else reply.detail


def _grid(reply: Reply, session: DriverSession) -> Answer:
    if reply.answer != OK:
        return reply.answer, reply.detail
    nodes = _nodes(reply)
    if nodes is None:
        # A driver that is a grid of its own; a geckodriver will be silent in every command.
        return (OK if is_chromium(session) else ERROR), "no grid"
    up = sum(1 for node in nodes if node.get("availability") == "UP")
    detail = f"{up} of {len(nodes)} nodes up"
    if not session.session_id:
        # Some grids start a node when a request has come in; how long that waits, they decide.
        return OK, detail
    if not serving(nodes):
        return EMPTY, detail
    return (OK if session.session_id in map(_session_id, _slots(nodes)) else DEAD), detail


def _nodes(reply: Reply) -> list[Mapping[str, Any]] | None:
    nodes = reply.value.get("nodes") if isinstance(reply.value, Mapping) else None
    return [n for n in nodes if isinstance(n, Mapping)] if isinstance(nodes, list) else None


def _down(nodes: Iterable[Mapping[str, Any]], session_id: str) -> str:
    for node in nodes:
        if node.get("availability") == "DOWN" and session_id in map(_session_id, _slots([node])):
            return str(node.get("uri", ""))
    return ""


def _slots(nodes: Iterable[Mapping[str, Any]]) -> list[Any]:
    return [slot for node in nodes for slot in node.get("slots") or ()]


def _session_id(slot: Any) -> str:
    session = slot.get("session") if isinstance(slot, Mapping) else None
    return str(session.get("sessionId")) if isinstance(session, Mapping) else ""


# Judgement


def cause_of(evidence: Evidence, heard: frozenset[str], endpoint: str = "") -> Cause | None:
    """Return who is to blame for a command that hangs, None if nobody can be.

    Args:
        evidence: From `examine`.
        heard: Probes that were answered before; the silence of others says nothing.
        endpoint: Address of the driver or grid, for the text.
    """
    for probe, answers, text in _CULPRITS:
        answer = evidence.answer(probe)
        if answer not in answers or (probe in _ASKED and probe not in heard):
            continue
        if answer in LIFELESS and not _is_surely_gone(probe, evidence):
            continue
        detail = evidence.detail(probe)
        return Cause(probe, answer, text.format(detail=detail, endpoint=endpoint, answer=answer))
    return None


def without_consequences(evidence: Evidence, cause: Cause) -> Evidence:
    """Return `evidence` without the silence of what stands behind the culprit."""
    behind = {GRID: _ASKED - {GRID}, NODE: _ASKED - {GRID, NODE}}.get(cause.probe, frozenset())
    return Evidence(r for r in evidence if r.probe not in behind or r.answer not in _UNREACHABLE)


def _is_surely_gone(probe: str, evidence: Evidence) -> bool:
    # The pid a driver reports may be that of a script that only started the browser.
    return probe == DRIVER_PROCESS or evidence.answer(DEVTOOLS) not in (OK, ERROR)


#: Probes that ask over a wire, and so can be swallowed on the way.
_ASKED = frozenset({GRID, NODE, DRIVER_STATUS, DEVTOOLS})

# The first that applies is to blame: what stands further down may be silent because of it.
_CULPRITS: tuple[tuple[str, frozenset[str], str], ...] = (
    (DRIVER_PROCESS, frozenset({STOPPED}), "the driver process ({detail}) is stopped"),
    (BROWSER_PROCESS, frozenset({STOPPED}), "the browser process ({detail}) is stopped"),
    (RENDERER_PROCESS, frozenset({STOPPED}), "a tab of the browser ({detail}) is stopped"),
    (GPU_PROCESS, frozenset({STOPPED}), "the graphics process ({detail}) is stopped"),
    (DRIVER_PROCESS, LIFELESS, "the driver process ({detail}) is {answer}"),
    (BROWSER_PROCESS, LIFELESS, "the browser process ({detail}) is {answer}"),
    (GRID, _UNREACHABLE, "the grid at {endpoint} does not answer"),
    (GRID, frozenset({EMPTY}), "the grid at {endpoint} has no node that is up"),
    (GRID, frozenset({DEAD}), "the grid at {endpoint} has lost the session"),
    (NODE, frozenset({DEAD}), "the node {detail} is down"),
    (NODE, _UNREACHABLE, "the node that holds the session does not answer"),
    (DRIVER_STATUS, _UNREACHABLE, "the driver does not answer"),
    (DEVTOOLS, _UNREACHABLE, "the browser does not answer to DevTools"),
)
