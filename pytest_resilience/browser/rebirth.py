"""Gives an old driver object a new browser.

Invariant: the object stays the same, and so do the objects it handed out that refer to
nothing but it, such as `switch_to`; what belonged to the old session is dropped.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from selenium.webdriver.remote.webdriver import WebDriver

    from pytest_resilience.browser.sessions import DriverSession

# Where selenium keeps what it opened on demand for one session.
_OPENED_ON_DEMAND = (
    "_script",
    "_network",
    "_browser",
    "_bidi_session",
    "_browsing_context",
    "_storage",
    "_webextension",
    "_permissions",
    "_emulation",
    "_input",
    "_devtools",
    "_authenticator_id",
)


def start_again(driver: WebDriver, old: DriverSession) -> None:
    """Start a new session on `driver`, with a new local driver process if it had one.

    Args:
        driver: Its old session has been discarded.
        old: That session; its request and its timeouts are used again.

    Raises:
        WebDriverException, OSError: The driver or the browser did not start.
    """
    _drop_old(driver)
    service: Any = getattr(driver, "service", None)
    if service is not None:
        _move_taken_ports(service)
        service.start()
        point(driver.command_executor, service.service_url)
    driver.session_id = None
    driver.start_session(old.requested or {})
    for name, value in old.timeouts.items():
        driver.execute("setTimeouts", {name: value})


def _drop_old(driver: WebDriver) -> None:
    held = driver.__dict__
    for name, end in (("_websocket_connection", "close"), ("_request", "dispose")):
        opened = held.get(name)
        if opened is not None:
            # Its other end is dead: a polite good-bye could wait for an answer.
            threading.Thread(target=_quietly, args=(opened, end), daemon=True).start()
            held[name] = None
    for name in _OPENED_ON_DEMAND:
        if name in held:
            held[name] = None
    pinned = held.get("pinned_scripts")
    if isinstance(pinned, dict):
        pinned.clear()


def _quietly(opened: object, method: str) -> None:
    with contextlib.suppress(Exception):
        getattr(opened, method)()


def _move_taken_ports(service: Any) -> None:
    """Choose other ports where those of the old process were taken in the meantime."""
    if not is_free(service.port):
        service.port = free_port()
    arguments = getattr(service, "_service_args", None)
    if isinstance(arguments, list) and "--websocket-port" in arguments[:-1]:
        place = arguments.index("--websocket-port") + 1
        if not (arguments[place].isdigit() and is_free(int(arguments[place]))):
            arguments[place] = str(free_port())


def point(executor: Any, url: str) -> None:
    """Make `executor` send its commands to `url` from now on."""
    # Selenium kept the address in another place before 4.26.
    config = getattr(executor, "_client_config", None)
    if config is not None:
        config.remote_server_addr = url
    if "_url" in executor.__dict__:
        executor._url = url
    # Kept connections lead to the old process.
    executor.close()


def is_free(port: int) -> bool:
    """Return whether a server could listen on `port` of this host's loopback address."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        if os.name == "posix":
            # Connections of the process before it that are still dying do not count.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """Return a port nobody listens on at the moment."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
