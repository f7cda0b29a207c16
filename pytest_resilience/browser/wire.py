"""Questions to a driver, a grid or a browser, apart from the user's own connection.

Invariant: every question is bounded, goes over a fresh connection without retries, and
gets an answer: a question that fails is answered with how it failed.
"""

from __future__ import annotations

import contextlib
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
        self._make_pool = make_pool or urllib3.PoolManager

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

    def ask_elsewhere(self, url: str, *, limit_s: float, method: str = "GET") -> Reply:
        """Ask `url`, which is not part of the endpoint, without its credentials."""
        return self._request(method, url, {}, limit_s, None)

    def _request(
        self, method: str, url: str, headers: dict[str, str], limit_s: float, body: object
    ) -> Reply:
        payload = None if body is None else json.dumps(body).encode()
        if payload is not None:
            headers = {**headers, "Content-Type": "application/json;charset=UTF-8"}
        try:
            pool = self._make_pool()
            try:
                response = pool.request(
                    method,
                    url,
                    body=payload,
                    headers=headers,
                    retries=False,
                    redirect=False,
                    timeout=urllib3.Timeout(total=limit_s),
                )
                return _reply(response.status, response.data)
            finally:
                pool.clear()
        except Exception as failure:  # noqa: BLE001 - every way of failing is an answer
            return Reply(_how(failure), detail=f"{type(failure).__name__}: {failure}"[:300])


def _how(failure: Exception) -> str:
    exceptions = urllib3.exceptions
    if isinstance(failure, exceptions.NewConnectionError):
        # Our own side may also be out of ports, or the host name unknown.
        reason = failure.__cause__ or failure.__context__
        return REFUSED if isinstance(reason, ConnectionRefusedError) else ERROR
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
