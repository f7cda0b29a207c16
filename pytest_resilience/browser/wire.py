"""Questions to a driver, a grid or a browser, apart from the user's own connection.

Invariant: every question is bounded, goes over a fresh connection without retries, and
gets an answer: a question that fails is answered with how it failed. One that was sent and
not read may be closed; that leaves nothing open.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import urllib3

from pytest_resilience.core.evidence import ERROR, OK, REFUSED, SILENT


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back.

    Attributes:
        answer: `ok` if anything was received, else `refused`, `silent` or `error`.
        status: HTTP status, 0 if there was none.
        value: The `value` of a WebDriver answer, else the decoded body.
        error: Error code of a WebDriver answer, such as ``invalid session id``.
        detail: Text for people.
    """

    answer: str
    status: int = 0
    value: Any = None
    error: str = ""
    detail: str = ""

    @property
    def good(self) -> bool:
        """True if the other side did what was asked."""
        return self.answer == OK and 0 < self.status < 400 and not self.error


class Question:
    """A question that was sent, and whose answer was not read yet."""

    def __init__(self, connection: http.client.HTTPConnection) -> None:
        self._connection = connection

    def answer(self, *, limit_s: float) -> Reply:
        """Read the answer, waiting at most `limit_s` seconds for each part of it."""
        try:
            self._connection.sock.settimeout(limit_s)
            response = self._connection.getresponse()
            return _reply(response.status, response.read())
        except Exception as failure:  # noqa: BLE001 - every way of failing is an answer
            return _failed(failure)
        finally:
            self.close()

    def close(self) -> None:
        """Do without the answer."""
        self._connection.close()


class Wire:
    """The way to one endpoint."""

    def __init__(
        self,
        endpoint: str,
        *,
        headers: dict[str, str] | None = None,
        make_pool: Callable[[], urllib3.PoolManager] | None = None,
    ) -> None:
        self._endpoint = endpoint.rstrip("/")
        self._headers = headers or {}
        self._make_pool = make_pool

    @classmethod
    def to(cls, executor: Any, endpoint: str, *, remote: bool) -> Wire:
        """Return the way to `endpoint` that `executor`, selenium's connection, would take.

        A local driver is reached directly; a grid with the executor's proxy, certificates
        and credentials.
        """
        if not remote:
            return cls(endpoint)
        make = getattr(executor, "_get_connection_manager", None)
        return cls(
            endpoint,
            headers=_headers(executor, endpoint),
            # What cuts the user's own connections must not cut ours.
            make_pool=getattr(make, "__wrapped__", make),
        )

    def leading_to(self, endpoint: str, headers: dict[str, str]) -> Wire:
        """Return the way to another endpoint, over the same proxy, with `headers` alone."""
        return Wire(endpoint, headers=headers, make_pool=self._make_pool)

    @property
    def credentials(self) -> dict[str, str]:
        """The headers by which the endpoint knows who asks."""
        return {k: v for k, v in self._headers.items() if k.lower() == "authorization"}

    def ask(self, method: str, path: str, *, limit_s: float, body: object = None) -> Reply:
        """Send one request and wait at most `limit_s` seconds for each step of it."""
        return self._request(method, self._endpoint + path, self._headers, limit_s, body)

    def send(
        self, method: str, path: str, *, limit_s: float, body: object = None
    ) -> Question | None:
        """Send one request whose answer is read later.

        Args:
            limit_s: Seconds for the connection to be made.

        Returns:
            None if it could not be sent, or if the endpoint is none on this machine.
        """
        if not self._is_direct(self._endpoint):
            return None
        try:
            return _send(method, self._endpoint + path, self._headers, limit_s, body)
        except Exception:  # noqa: BLE001 - what is wrong is found out by asking
            return None

    def ask_elsewhere(self, url: str, *, limit_s: float, method: str = "GET") -> Reply:
        """Ask `url`, which is not part of the endpoint, without its credentials."""
        return self._request(method, url, {}, limit_s, None)

    def _is_direct(self, url: str) -> bool:
        """Return whether nothing but a plain connection is needed to reach `url`."""
        return self._make_pool is None and url.startswith("http://")

    def _request(
        self, method: str, url: str, headers: dict[str, str], limit_s: float, body: object
    ) -> Reply:
        try:
            if self._is_direct(url):
                return _send(method, url, headers, limit_s, body).answer(limit_s=limit_s)
            return self._request_by_pool(method, url, headers, limit_s, body)
        except Exception as failure:  # noqa: BLE001 - every way of failing is an answer
            return _failed(failure)

    def _request_by_pool(
        self, method: str, url: str, headers: dict[str, str], limit_s: float, body: object
    ) -> Reply:
        pool = (self._make_pool or urllib3.PoolManager)()
        try:
            response = pool.request(
                method,
                url,
                body=_payload(body),
                headers=_described(headers, body),
                retries=False,
                redirect=False,
                timeout=urllib3.Timeout(total=limit_s),
            )
            return _reply(response.status, response.data)
        finally:
            pool.clear()


def _send(method: str, url: str, headers: dict[str, str], limit_s: float, body: object) -> Question:
    # Half the processor time of a pool of connections, which would serve one request.
    parts = urlsplit(url)
    target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=limit_s)
    try:
        connection.request(method, target, body=_payload(body), headers=_described(headers, body))
    except BaseException:
        connection.close()
        raise
    return Question(connection)


def _payload(body: object) -> bytes | None:
    return None if body is None else json.dumps(body).encode()


def _described(headers: dict[str, str], body: object) -> dict[str, str]:
    """Return `headers` with the kind of `body`, if there is one."""
    if body is None:
        return headers
    return {**headers, "Content-Type": "application/json;charset=UTF-8"}


def _failed(failure: Exception) -> Reply:
    return Reply(_how(failure), detail=f"{type(failure).__name__}: {failure}"[:300])


def _how(failure: Exception) -> str:
    exceptions = urllib3.exceptions
    if isinstance(failure, exceptions.NewConnectionError):
        # Our own side may also be out of ports, or the host name unknown.
        reason = failure.__cause__ or failure.__context__
        return REFUSED if isinstance(reason, ConnectionRefusedError) else ERROR
    if isinstance(failure, ConnectionRefusedError):
        return REFUSED
    if isinstance(failure, exceptions.TimeoutError | TimeoutError):
        return SILENT
    return ERROR


def _reply(status: int, data: bytes) -> Reply:
    text = data.decode("utf-8", "replace")
    try:
        decoded = json.loads(text)
    except ValueError:
        return Reply(OK, status, value=text, detail=text.strip()[:300])
    value = decoded.get("value", decoded) if isinstance(decoded, dict) else decoded
    if isinstance(value, dict) and isinstance(value.get("error"), str):
        message = str(value.get("message", ""))
        return Reply(OK, status, value, error=value["error"], detail=message[:300])
    return Reply(OK, status, value)


def _headers(executor: Any, endpoint: str) -> dict[str, str]:
    headers: dict[str, str] = {}
    with contextlib.suppress(Exception), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        headers.update(executor.get_remote_connection_headers(urlsplit(endpoint)))
    with contextlib.suppress(Exception):
        headers.update(executor.client_config.get_auth_header() or {})
    headers.pop("Content-Type", None)
    return headers
