"""Faults of the network of the page, and of what answers it.

In Chromium by DevTools, in Firefox by WebDriver BiDi.

Invariant: only what the browser asks for is touched, never the way to the driver; what was
held back is let go when the fault is undone.
"""

from __future__ import annotations

import base64
import contextlib
import socket
import struct
import threading
from typing import TYPE_CHECKING, Any

from pytest_resilience.browser.fault_applied import Applied
from pytest_resilience.browser.fault_devtools import Command, impose
from pytest_resilience.browser.fault_talk import Message, Talk, bidi_address, deaf
from pytest_resilience.core.injection import FOXES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

LATENCY_MS = 500
BYTES_PER_S = 50_000
#: What an injected answer says, for whoever debugs a page.
BODY = "Injected by pytest-resilience."
#: Addresses that are kept as evidence.
_URLS_KEPT = 20
#: Seconds a Firefox gets to take back what it was told.
_BACK_LIMIT_S = 2.0

_PASS, _ANSWER, _RESET, _HOLD = "pass", "answer", "reset", "hold"


def slow_network(applied: Applied) -> None:
    """Give the page latency and little throughput."""
    meter = _Meter()
    _pretend(applied, {"offline": False, **_speed(LATENCY_MS, BYTES_PER_S)}, meter.heard)
    applied.look(meter.seen)


def go_offline(applied: Applied) -> None:
    """Take the page off the network."""
    if applied.platform in FOXES:
        _take_fox_offline(applied)
        return
    _pretend(applied, {"offline": True, **_speed(0, -1)}, deaf)


def answer_503_once(applied: Applied) -> None:
    """Answer the next request of a script with 503."""
    _intercept(applied, _Requests(_ANSWER, status=503, times=1))


def answer_500(applied: Applied) -> None:
    """Answer every request of a script with 500."""
    _intercept(applied, _Requests(_ANSWER, status=500))


def reset_requests(applied: Applied) -> None:
    """Reset the connection under every request."""
    _intercept(applied, _Requests(_RESET))


def stall_page_load(applied: Applied) -> None:
    """Hold every request back."""
    _intercept(applied, _Requests(_HOLD))


def _speed(latency_ms: int, bytes_per_s: int) -> dict[str, int]:
    return {
        "latency": latency_ms,
        "downloadThroughput": bytes_per_s,
        "uploadThroughput": bytes_per_s,
    }


def _pretend(
    applied: Applied, conditions: dict[str, Any], hear: Callable[[Talk, Message], object]
) -> None:
    """Give every page of a Chromium other network conditions."""
    method = "Network.emulateNetworkConditions"
    usual = {"offline": False, **_speed(0, -1)}
    impose(applied, [("Network.enable", {}), (method, conditions)], [(method, usual)], hear)
    applied.prove(conditions=conditions)


class _Meter:
    """Measures how long the requests of a Chromium take to be answered."""

    def __init__(self) -> None:
        self._sent: dict[str, float] = {}
        self._seconds: list[float] = []

    def heard(self, _talk: Talk, event: Message) -> None:
        params = event.get("params", {})
        if event.get("method") == "Network.requestWillBeSent":
            self._sent[params["requestId"]] = params["timestamp"]
        elif event.get("method") == "Network.responseReceived":
            sent = self._sent.pop(params["requestId"], None)
            if sent is not None:
                self._seconds.append(params["timestamp"] - sent)

    def seen(self) -> dict[str, Any]:
        measured = list(self._seconds)
        return {"requests": len(measured), "fastest_s": round(min(measured, default=0.0), 3)}


class _Requests:
    """Decides what becomes of requests, and remembers which ones met their fate.

    Args:
        fate: What becomes of them.
        status: Status of the answer they get; requests that no script makes pass, then.
        times: To how many that happens; None for all.
    """

    def __init__(self, fate: str, *, status: int = 0, times: int | None = None) -> None:
        self.status = status
        self.fate = fate
        self._times = times
        self._struck: list[str] = []
        self._lock = threading.Lock()

    def fate_of(self, url: str, *, by_script: bool) -> str:
        """Return what becomes of a request."""
        with self._lock:
            spent = self._times is not None and len(self._struck) >= self._times
            if spent or (self.status and not by_script):
                return _PASS
            self._struck.append(url)
            return self.fate

    def seen(self) -> dict[str, Any]:
        struck = list(self._struck)
        return {"requests": len(struck), "urls": struck[:_URLS_KEPT]}


def _intercept(applied: Applied, requests: _Requests) -> None:
    applied.look(requests.seen)
    if applied.platform in FOXES:
        _Fox(applied, requests)
    else:
        _intercept_chromium(applied, requests)


def _intercept_chromium(applied: Applied, requests: _Requests) -> None:
    kinds: Sequence[Message] = [{"urlPattern": "*"}]
    if requests.status:
        kinds = [{"urlPattern": "*", "resourceType": kind} for kind in ("XHR", "Fetch")]

    def hear(talk: Talk, event: Message) -> None:
        if event.get("method") != "Fetch.requestPaused":
            return
        params = event["params"]
        by_script = params["resourceType"] in ("XHR", "Fetch")
        fate = requests.fate_of(params["request"]["url"], by_script=by_script)
        if fate == _HOLD:
            return
        method, more = _chromium_verdict(fate, requests.status, params["request"])
        # One that comes from the browser itself belongs to no page.
        page = {"sessionId": event["sessionId"]} if "sessionId" in event else {}
        talk.tell(method, {"requestId": params["requestId"], **more}, **page)

    impose(applied, [("Fetch.enable", {"patterns": kinds})], [("Fetch.disable", {})], hear)


def _chromium_verdict(fate: str, status: int, request: Message) -> Command:
    if fate == _PASS:
        return "Fetch.continueRequest", {}
    if fate == _RESET:
        return "Fetch.failRequest", {"errorReason": "ConnectionReset"}
    headers = [{"name": k, "value": v} for k, v in _headers(request["headers"]).items()]
    body = base64.b64encode(BODY.encode()).decode()
    return "Fetch.fulfillRequest", {
        "responseCode": status, "responseHeaders": headers, "body": body,
    }  # fmt: skip


def _headers(of_request: Message) -> dict[str, str]:
    """Return the headers of an answer that a script may read, whichever site it is of."""
    origin = next((v for k, v in of_request.items() if k.lower() == "origin"), "*")
    return {
        "Content-Type": "text/plain",
        "Access-Control-Allow-Origin": str(origin),
        "Access-Control-Allow-Credentials": "true",
    }


def _take_fox_offline(applied: Applied) -> None:
    talk = Talk(*bidi_address(applied.session), deaf)
    applied.when_undone(talk.close)
    method = "emulation.setNetworkConditions"
    applied.when_undone(
        lambda: talk.call(method, {"networkConditions": None}, limit_s=_BACK_LIMIT_S)
    )
    talk.call(method, {"networkConditions": {"type": "offline"}})
    applied.prove(conditions={"type": "offline"})


class _Fox:
    """Intercepts the requests of a Firefox, until the fault is undone.

    WebDriver BiDi knows no way of resetting a connection (a request that is made to fail
    leaves the page loading for ever), so requests are led to where it is reset for real.
    """

    def __init__(self, applied: Applied, requests: _Requests) -> None:
        self._requests = requests
        self._held: list[str] = []
        self._resetter = _Resetter() if requests.fate == _RESET else None
        if self._resetter is not None:
            applied.when_undone(self._resetter.close)
        self._talk = Talk(*bidi_address(applied.session), self._heard)
        applied.when_undone(self._talk.close)
        listening = self._talk.call("session.subscribe", {"events": [_ASKED]})
        self._back(applied, "session.unsubscribe", "subscriptions", [listening["subscription"]])
        applied.when_undone(self._let_go)
        phases = {"phases": ["beforeRequestSent"]}
        intercept = self._talk.call("network.addIntercept", phases)["intercept"]
        self._back(applied, "network.removeIntercept", "intercept", intercept)

    def _back(self, applied: Applied, method: str, name: str, value: object) -> None:
        applied.when_undone(lambda: self._talk.call(method, {name: value}, limit_s=_BACK_LIMIT_S))

    def _heard(self, talk: Talk, event: Message) -> None:
        params = event.get("params", {})
        if event.get("method") != _ASKED or not params["isBlocked"]:
            return
        request = params["request"]
        by_script = request.get("initiatorType") in ("fetch", "xmlhttprequest")
        fate = self._requests.fate_of(request["url"], by_script=by_script)
        if fate == _HOLD:
            self._held.append(request["request"])
            return
        method, more = self._verdict(fate, request)
        talk.tell(method, {"request": request["request"], **more})

    def _verdict(self, fate: str, request: Message) -> Command:
        if fate == _ANSWER:
            sent = {h["name"]: h["value"].get("value", "") for h in request["headers"]}
            headers = [
                {"name": k, "value": {"type": "string", "value": v}}
                for k, v in _headers(sent).items()
            ]
            body = {"type": "string", "value": BODY}
            return "network.provideResponse", {
                "statusCode": self._requests.status, "reasonPhrase": "", "headers": headers,
                "body": body,
            }  # fmt: skip
        if fate == _RESET and self._resetter is not None:
            return "network.continueRequest", {"url": self._resetter.url}
        return "network.continueRequest", {}

    def _let_go(self) -> None:
        for request in self._held:
            # Its page may have been left meanwhile: whether it goes on is nobody's matter.
            self._talk.tell("network.continueRequest", {"request": request})


_ASKED = "network.beforeRequestSent"


class _Resetter:
    """A server on this machine that resets every connection."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}/"
        threading.Thread(target=self._serve, daemon=True, name="resilience-resetter").start()

    def close(self) -> None:
        """Stop listening."""
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _address = self._server.accept()
                # Closed with RST instead of FIN.
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                client.close()
