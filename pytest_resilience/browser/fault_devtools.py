"""The pages of a Chromium, over a DevTools connection of our own.

Invariant: what one page is told, every page is told, also one that opens later; all of it
ends with the connection, for Chromium keeps it for the connection alone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pytest_resilience.browser.fault_applied import Applied, FaultError
from pytest_resilience.browser.fault_talk import (
    CALL_LIMIT_S,
    Hear,
    Message,
    Talk,
    deaf,
    devtools_address,
)

if TYPE_CHECKING:
    from pytest_resilience.browser.sessions import DriverSession

#: A method of DevTools and its parameters.
Command = tuple[str, Message]

#: Seconds the driver gets to name the window it is in; it may be busy with a command.
_WINDOW_LIMIT_S = 1.0
#: Seconds a page gets to take back what it was told, before the connection does it.
_BACK_LIMIT_S = 1.0


class Pages:
    """The pages of one browser.

    Args:
        session: Its session.
        orders: What every page is told, in order.
        hear: Called with the connection and each event of a page; see `Talk`.

    Raises:
        FaultError: The browser cannot be reached, or a page does not do as it is told.
    """

    def __init__(
        self,
        session: DriverSession,
        orders: Sequence[Command] = (),
        hear: Hear = deaf,
    ) -> None:
        self._session = session
        self._orders = orders
        self._hear = hear
        self._pages: dict[str, str] = {}
        self._frames: dict[str, str] = {}
        url, headers = devtools_address(session)
        self.talk = Talk(url, headers, self._heard)
        try:
            self.talk.call("Target.setAutoAttach", _attaching("page"))
            for page in list(self._pages.values()):
                # They have all been told; now it is in force.
                for method, params in orders:
                    self.call(page, method, params)
        except FaultError:
            self.talk.close()
            raise

    def __len__(self) -> int:
        return len(self._pages)

    def current(self) -> str:
        """Return the page the driver is in, or one of them if the driver does not say.

        Raises:
            FaultError: There is none.
        """
        path = f"/session/{self._session.session_id}/window"
        handle = self._session.wire.ask("GET", path, limit_s=_WINDOW_LIMIT_S).value
        pages = dict(self._pages)
        if not pages:
            raise FaultError("the browser has no page.")
        known = pages.get(handle) if isinstance(handle, str) else None
        return known or next(iter(pages.values()))

    def call(
        self, page: str, method: str, params: Message | None = None, limit_s: float = CALL_LIMIT_S
    ) -> dict[str, Any]:
        """Return what `page` answers; raises FaultError if it does not."""
        return self.talk.call(method, params, limit_s=limit_s, sessionId=page)

    def evaluate(self, page: str, expression: str, limit_s: float = CALL_LIMIT_S) -> Any:
        """Return the value of an expression in a page.

        Raises:
            FaultError: It throws, or the page does not answer: it may show an alert.
        """
        params = {"expression": expression, "returnByValue": True, "awaitPromise": True}
        answer = self.call(page, "Runtime.evaluate", params, limit_s)
        if "exceptionDetails" in answer:
            raise FaultError(f"the page refuses: {answer['exceptionDetails'].get('text')}")
        return answer["result"].get("value")

    def take_back(self, orders: Sequence[Command]) -> None:
        """Tell every page `orders`, in which it is free again, and hang up."""
        with contextlib.suppress(FaultError):
            for page in (*self._pages.values(), *self._frames.values()):
                for method, params in orders:
                    self.call(page, method, params, _BACK_LIMIT_S)
        self.talk.close()

    def close(self) -> None:
        """Hang up, which frees the pages, too."""
        self.talk.close()

    def _heard(self, talk: Talk, event: Message) -> None:
        kind, params = event.get("method"), event.get("params", {})
        if kind == "Target.attachedToTarget":
            self._attached(talk, params["sessionId"], params["targetInfo"])
        elif kind == "Target.detachedFromTarget":
            for kept in (self._pages, self._frames):
                for target, page in list(kept.items()):
                    if page == params["sessionId"]:
                        del kept[target]
        else:
            self._hear(talk, event)

    def _attached(self, talk: Talk, page: str, target: Message) -> None:
        kept = self._pages if target["type"] == "page" else self._frames
        kept[target["targetId"]] = page
        # Frames of other sites have processes, and so connections, of their own.
        talk.tell("Target.setAutoAttach", _attaching("iframe"), sessionId=page)
        for method, params in self._orders:
            talk.tell(method, params, sessionId=page)
        talk.tell("Runtime.runIfWaitingForDebugger", sessionId=page)


def impose(
    applied: Applied,
    orders: Sequence[Command],
    back: Sequence[Command],
    hear: Hear = deaf,
) -> Pages:
    """Tell every page of a session `orders`, until the fault is undone.

    Args:
        back: What makes a page free again.
        hear: See `Pages`.

    Raises:
        FaultError: See `Pages`.
    """
    pages = Pages(applied.session, orders, hear)
    applied.when_undone(lambda: pages.take_back(back))
    applied.look(lambda: {"pages": len(pages)})
    return pages


def _attaching(kind: str) -> Message:
    # One that opens later waits until it has been told; else it could load something before.
    return {
        "autoAttach": True,
        "waitForDebuggerOnStart": True,
        "flatten": True,
        "filter": [{"type": kind}],
    }
