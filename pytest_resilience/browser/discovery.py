"""Reads off a driver object what session it has, and which processes serve it.

Invariant: a browser or a profile directory counts as ours only if the driver started or
made it; one that the user's request names, or that the driver was attached to, does not.
"""

from __future__ import annotations

import copy
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pytest_resilience.browser import host, processes
from pytest_resilience.browser.processes import ProcessId
from pytest_resilience.browser.sessions import DriverSession
from pytest_resilience.browser.wire import Wire

if TYPE_CHECKING:
    from selenium.webdriver.remote.webdriver import WebDriver

PROFILE_ARGUMENTS = ("--user-data-dir", "user-data-dir", "-profile", "--profile", "-P")
_ATTACHING_ARGUMENTS = frozenset({"--connect-existing", "--marionette-port"})


def describe(driver: WebDriver, requested: dict[str, Any] | None) -> DriverSession:
    """Return what there is to know of the session that `driver` has just got.

    Args:
        driver: A driver with a session.
        requested: What it asked for; None if nobody saw that.
    """
    granted = dict(driver.capabilities or {})
    endpoint = endpoint_of(driver)
    service = getattr(driver, "service", None)
    child = getattr(service, "process", None)
    driver_process = processes.identify(getattr(child, "pid", None))
    remote = driver_process is None
    relatives = processes.family(driver_process) if driver_process is not None else ()
    browser_process = _browser_process(granted, relatives)
    profile = profile_of(granted)
    return DriverSession(
        session_id=driver.session_id or "",
        browser=str(granted.get("browserName", "")).lower(),
        browser_version=str(granted.get("browserVersion", "")),
        endpoint=without_credentials(endpoint),
        remote=remote,
        wire=Wire.to(driver.command_executor, endpoint, remote=remote),
        requested=copy.deepcopy(requested),
        capabilities=granted,
        driver_process=driver_process,
        browser_process=browser_process,
        oom_kills={} if remote else host.oom_kills(browser_process),
        child=child,
        leads_group=driver_process is not None and processes.leads_group(driver_process),
        shares_driver=bool(getattr(service, "reuse_service", False)),
        relatives=frozenset(relatives),
        profile_dir=profile,
        profile_is_ours=not remote
        and profile is not None
        and not _is_attached(requested, service)
        and is_temporary(profile, requested, getattr(service, "env", None)),
        socket_dir=socket_dir_of(profile),
    )


def anticipate(driver: WebDriver, requested: dict[str, Any] | None) -> DriverSession:
    """Return what there is to know of a session that `driver` is about to ask for."""
    service = getattr(driver, "service", None)
    endpoint = endpoint_of(driver)
    driver_process = processes.identify(getattr(getattr(service, "process", None), "pid", None))
    remote = driver_process is None
    wanted = (dict(requested), *_option_sets(requested)) if requested else ()
    names = [str(found["browserName"]) for found in wanted if "browserName" in found]
    return DriverSession(
        session_id="",
        browser=names[0].lower() if names else "",
        browser_version="",
        endpoint=without_credentials(endpoint),
        remote=remote,
        wire=Wire.to(driver.command_executor, endpoint, remote=remote),
        requested=requested,
        capabilities={},
        driver_process=driver_process,
    )


def endpoint_of(driver: WebDriver) -> str:
    """Return the URL that the commands of `driver` go to, "" if it cannot be told.

    With the credentials it may contain: the way to it is made from this.
    """
    executor: Any = driver.command_executor
    config = getattr(executor, "_client_config", None) or getattr(executor, "client_config", None)
    address = getattr(config, "remote_server_addr", None) or getattr(executor, "_url", None)
    return str(address or "")


def without_credentials(url: str) -> str:
    """Return `url` as it may be shown: reports and histories are read by others."""
    parts = urlsplit(url)
    if "@" not in parts.netloc:
        return url
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def profile_of(granted: Mapping[str, Any]) -> str | None:
    """Return the profile directory that granted capabilities name."""
    firefox = granted.get("moz:profile")
    if isinstance(firefox, str) and firefox:
        return firefox
    for value in granted.values():
        if isinstance(value, Mapping) and isinstance(value.get("userDataDir"), str):
            return str(value["userDataDir"]) or None
    return None


def socket_dir_of(profile: str | None) -> str | None:
    """Return the directory of the socket that a Chromium's `profile` names, None if it does not."""
    try:
        return os.path.dirname(os.readlink(os.path.join(profile or "", "SingletonSocket")))
    except OSError:
        return None


def is_temporary(
    profile: str, requested: Mapping[str, Any] | None, environment: Mapping[str, str] | None
) -> bool:
    """Return whether the driver made `profile` for this session alone.

    That is: the request names no profile, and it lies directly in a temporary directory,
    the one of this process or of the driver's `environment`.
    """
    if requested is None or names_profile(requested):
        return False
    roots = {tempfile.gettempdir(), (environment or os.environ).get("TMPDIR", "")} - {""}
    parent = os.path.realpath(os.path.dirname(profile))
    return parent in {os.path.realpath(root) for root in roots}


def names_profile(requested: Mapping[str, Any]) -> bool:
    for argument in _browser_arguments(requested):
        if argument.split("=", 1)[0] in PROFILE_ARGUMENTS:
            return True
    return False


def _is_attached(requested: Mapping[str, Any] | None, service: object) -> bool:
    if requested is None:
        return True
    arguments: Iterable[str] = getattr(service, "service_args", None) or ()
    if not _ATTACHING_ARGUMENTS.isdisjoint(arguments):
        return True
    return any("debuggerAddress" in options for options in _option_sets(requested))


def _browser_arguments(requested: Mapping[str, Any]) -> Iterator[str]:
    for options in _option_sets(requested):
        arguments = options.get("args")
        if isinstance(arguments, Iterable) and not isinstance(arguments, str):
            yield from (str(argument) for argument in arguments)


def _option_sets(requested: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield every mapping inside a request, flat or in its W3C form."""
    for value in requested.values():
        for inner in value if isinstance(value, list) else (value,):
            if isinstance(inner, Mapping):
                yield inner
                yield from _option_sets(inner)


def _browser_process(
    granted: Mapping[str, Any], relatives: tuple[ProcessId, ...]
) -> ProcessId | None:
    named = granted.get("goog:processID") or granted.get("moz:processID")
    for process in relatives:
        if process.pid == named:
            return process
    if named is not None:
        # A browser the driver was attached to: not ours.
        return None
    # The first descendant that is no helper of a browser is the browser itself.
    for process in relatives[1:]:
        if not processes.role(process):
            return process
    return None
