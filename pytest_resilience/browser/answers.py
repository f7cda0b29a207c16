"""What the answers of a driver, a page or a grid say about a session.

Invariant: pure; an answer that is not understood is an error, never a good one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from pytest_resilience.browser import offers
from pytest_resilience.browser.target import IN_FRAME, status_answer
from pytest_resilience.core.evidence import (
    CRASHED,
    DEAD,
    DRIVER_STATUS,
    EMPTY,
    ERROR,
    ERROR_PAGE,
    NODE,
    OK,
    REFUSED,
)
from pytest_resilience.core.statement import THREW

if TYPE_CHECKING:
    from pytest_resilience.browser.wire import Reply

#: Asks a page where it is and how its server answered; a page may have replaced any of these.
#: On an error page of Firefox the location is still the address that could not be loaded.
PAGE_SCRIPT = """
const asked = (ask) => { try { return ask(); } catch (thrown) { return undefined; } };
const entry = asked(() => performance.getEntriesByType('navigation')[0]) || {};
const code = asked(() => document.querySelector('.error-code'));
return [String(document.documentURI), entry.responseStatus || 0, code ? code.textContent : '',
    window !== window.top];
"""
_OF_DEAD_SESSIONS = (
    "invalid session id",
    "unable to find session",
    "disconnected",
    "not reachable",
    "from marionette",
    "without establishing a connection",
)
#: What a hub says when it cannot reach the node, and a node when it cannot reach the driver.
_REFUSED_ON_THE_WAY = re.compile(
    r"(?:connection error|failed to execute request) \(?(?:get|post) (https?://[^/\s)]+)",
    re.IGNORECASE,
)
_ANSWER_SHOWN = re.compile(r"\bHTTP ERROR (\d{3})\b")
_ERROR_PAGES = ("chrome-error:", "about:neterror", "about:certerror", "about:httpsonlyerror")


def session_answer(reply: Reply) -> tuple[str, str]:
    """Return how the session is, by its answer to any command, and what was said."""
    if reply.answer != OK:
        return reply.answer, reply.detail
    if reply.good or reply.error in ("no such alert", "unexpected alert open"):
        return OK, ""
    if reply.error == "javascript error" or THREW in reply.detail:
        # The words are those of a script of the page, which lives.
        return OK, ""
    text = f"{reply.error} {reply.detail}".lower()
    detail = reply.detail or reply.error
    if "crash" in text:
        return CRASHED, detail
    if any(sign in text for sign in _OF_DEAD_SESSIONS):
        return DEAD, detail
    if _REFUSED_ON_THE_WAY.search(text):
        return REFUSED, detail
    if reply.error in ("no such window", "javascript error"):
        # The session answers; that a window is missing or a script fails is the test's matter.
        return OK, detail
    return ERROR, detail


def reachable(reply: Reply) -> tuple[str, str]:
    """Return whether whoever answered is there."""
    if reply.answer == OK and reply.status >= 400:
        return ERROR, f"HTTP {reply.status} {reply.detail}"
    return reply.answer, reply.detail


def page_answer(reply: Reply) -> tuple[str, str]:
    """Return what the page shows, by its answer to `PAGE_SCRIPT`."""
    if not reply.good:
        answer, detail = session_answer(reply)
        return (ERROR if answer == OK else answer), detail
    if not isinstance(reply.value, list) or len(reply.value) != 4:
        return ERROR, str(reply.value)[:100]
    href, status, code, framed = reply.value
    href, code = str(href), str(code).strip()
    own = href.startswith(_ERROR_PAGES)
    shown = _ANSWER_SHOWN.search(code) if own else None
    if own and not shown:
        return ERROR_PAGE, (code or href) + (IN_FRAME if framed else "")
    # An answer without a body makes Chromium show a page of its own.
    status = int(shown[1]) if shown else status
    if isinstance(status, int) and status >= 500:
        return status_answer(status), f"{status} {href}"
    return OK, f"{status} {href}" if shown else href[:200]


def grid_answer(reply: Reply, session_id: str | None, requested: object = None) -> tuple[str, str]:
    """Return how a grid is, by its `/status`.

    Args:
        session_id: A session it should have; None to ask whether it has room for another.
        requested: The capabilities of that other one, None if they are not known.
    """
    if reply.answer != OK:
        return reply.answer, reply.detail
    if not reply.good or not isinstance(reply.value, Mapping):
        return ERROR, f"HTTP {reply.status} {reply.detail}"
    nodes = reply.value.get("nodes")
    if not isinstance(nodes, list):
        return OK, str(reply.value.get("message", ""))
    if session_id is None:
        return offers.room(nodes, requested)
    detail = offers.room(nodes, None)[1]
    if not serving(nodes):
        return EMPTY, detail
    return (OK if session_id in _held(nodes) else DEAD), detail


def refuser(status: Reply, session_id: str, refused: str) -> tuple[str, str, str] | None:
    """Return the probe that says who refused a session of a grid, its answer and its detail.

    Args:
        status: The grid's `/status`.
        refused: What was said of the session, which names the address that refused it.

    Returns:
        None if the grid does not tell which node has the session.
    """
    address = _REFUSED_ON_THE_WAY.search(refused)
    nodes = status.value.get("nodes") if isinstance(status.value, Mapping) else None
    for node in nodes or ():
        if address and session_id in _held([node]):
            of_node = str(node.get("uri", "")).rstrip("/") == address[1]
            return (NODE if of_node else DRIVER_STATUS), REFUSED, address[1]
    return None


def serving(nodes: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the nodes whose sessions work: one that drains only takes no new ones."""
    return [node for node in nodes if node.get("availability") in ("UP", "DRAINING")]


def _held(nodes: list[Any]) -> list[str]:
    return [slot["session"].get("sessionId") for slot in _slots(nodes) if slot.get("session")]


def _slots(nodes: list[Any]) -> list[Mapping[str, Any]]:
    return [slot for node in nodes for slot in node.get("slots") or ()]


def debugger_address(capabilities: Mapping[str, Any]) -> str:
    """Return where the browser can be asked by DevTools, "" if nowhere."""
    for value in capabilities.values():
        if isinstance(value, Mapping) and isinstance(value.get("debuggerAddress"), str):
            return str(value["debuggerAddress"])
    return ""
