"""The grids a run may use, and which one stands in for one that failed.

Invariant: only sessions for an endpoint of the list are ever sent elsewhere, and only to
another one of it; a session stays where it was started, and no endpoint is shown the
credentials of another.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

import urllib3

from pytest_resilience.browser.discovery import without_credentials
from pytest_resilience.browser.rebirth import point
from pytest_resilience.browser.wire import Wire

_log = logging.getLogger("pytest_resilience")

#: Seconds an endpoint gets to say that it is ready.
_STATUS_LIMIT_S = 1.5


class Endpoints:
    """The endpoints of a run, in the order in which they are preferred.

    Args:
        urls: Addresses as the user gave them, credentials included.
    """

    def __init__(self, urls: Iterable[str]) -> None:
        self._urls = {plain(url): url for url in urls}
        self._stand_ins: dict[str, str] = {}

    def has_others(self, endpoint: str) -> bool:
        """Return whether `endpoint` is on the list, and not alone."""
        return plain(endpoint) in self._urls and len(self._urls) > 1

    def switch(self, failed: str, way: Wire) -> bool:
        """Use another endpoint for `failed` from now on; return False if none is ready.

        They are asked in the order of the list, beginning behind `failed`.

        Args:
            way: The way to `failed`.
        """
        for candidate in self._behind(plain(failed)):
            if is_ready(_way_to(self._urls[candidate], way)):
                # It may have failed itself before, and had a stand-in of its own.
                self._stand_ins.pop(candidate, None)
                self._stand_ins[plain(failed)] = candidate
                return True
        return False

    def direct(self, driver: Any, asked: str) -> None:
        """Send `driver`, which is about to start a session at `asked`, where it is started."""
        wanted = instead = plain(asked)
        while instead in self._stand_ins:
            instead = self._stand_ins[instead]
        if instead == wanted:
            return
        executor = driver.command_executor
        config = getattr(executor, "_client_config", None)
        if config is not None:
            # Another driver may have been given the same one.
            executor._client_config = _without_credentials(copy.copy(config))
        point(executor, self._urls[instead])
        _log.info("a session for %s is started at %s", wanted, instead)

    def _behind(self, endpoint: str) -> list[str]:
        known = list(self._urls)
        place = known.index(endpoint) if endpoint in known else -1
        return [*known[place + 1 :], *known[: max(place, 0)]]


def is_ready(way: Wire) -> bool:
    """Ask whether new sessions can be started; takes 1.5 s at most for each step."""
    reply = way.ask("GET", "/status", limit_s=_STATUS_LIMIT_S)
    return reply.good and isinstance(reply.value, Mapping) and reply.value.get("ready") is True


def plain(url: str) -> str:
    """Return `url` in the form in which two addresses of one endpoint are equal."""
    parts = urlsplit(url.strip())
    host = (parts.hostname or "").lower()
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme.lower(), 0)
    path = parts.path.rstrip("/").removesuffix("/wd/hub")
    return f"{parts.scheme.lower()}://{host}:{port}{path}"


def _way_to(url: str, beside: Wire) -> Wire:
    """Return the way to `url` that goes as `beside` does, over the same proxy."""
    parts = urlsplit(url)
    headers: dict[str, str] = {}
    if parts.username is not None:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers.update(urllib3.util.make_headers(basic_auth=login))
    return beside.leading_to(without_credentials(url), headers)


def _without_credentials(config: Any) -> Any:
    # Those belong to the endpoint it was made for; the address of the other one has its own.
    config.username = config.password = config.token = None
    return config
