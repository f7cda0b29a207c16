"""How sessions are started, and what is known of those that could not be.

Invariant: importing this module loads neither selenium nor psutil nor urllib3.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_resilience.core.failures import ExceptionFact

if TYPE_CHECKING:
    import subprocess

    from pytest_resilience.browser.processes import ProcessId
    from pytest_resilience.browser.wire import Wire


@dataclass(frozen=True, slots=True)
class Launch:
    """How a local driver is started.

    Attributes:
        command: Its executable and its arguments.
        environment: Its environment, None for ours.
        keywords: What else `subprocess.Popen` is given.
    """

    command: tuple[str, ...]
    environment: Mapping[str, str] | None = field(default=None, repr=False)
    keywords: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, service: Any) -> Launch | None:
        """Return how `service`, selenium's, starts its driver; None if that cannot be told."""
        try:
            path = service.path
            arguments = [str(argument) for argument in service.command_line_args()]
            environment = getattr(service, "env", None)
            keywords = dict(getattr(service, "popen_kw", None) or {})
        except Exception:  # noqa: BLE001 - a class of a user's own may lack any of it
            return None
        if not path:
            return None
        kept = None if environment is None or environment is os.environ else dict(environment)
        return cls((str(path), *arguments), kept, keywords)


@dataclass(eq=False, slots=True, kw_only=True)
class FailedStart:
    """A session that could not be started.

    Attributes:
        mark: Commands of the registry up to the failure.
        browser: Name of the browser asked for, "" if it did not come to that.
        endpoint: URL of the driver or grid, "" if the driver itself did not start.
        wire: The way to the endpoint, None if there is none.
        remote: True if no local driver process was to serve it.
        driver_process: Identity of the local driver, None if there is none.
        child: That process as our child.
        leads_group: True if everything it started is in a process group of its own.
        error: Why.
        requested: Capabilities as they were requested; None if it did not come to that.
        launch: How the local driver was started, None if there is none.
    """

    mark: int
    browser: str = ""
    endpoint: str = ""
    wire: Wire | None = None
    remote: bool = False
    driver_process: ProcessId | None = None
    child: subprocess.Popen[bytes] | None = None
    leads_group: bool = False
    error: ExceptionFact = field(default_factory=lambda: ExceptionFact((), ""))
    requested: Any = field(default=None, repr=False)
    launch: Launch | None = field(default=None, repr=False)
