"""Sessions that could not be started: what is known of them, to clear up after them.

Invariant: importing this module loads neither selenium nor psutil nor urllib3.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_resilience.core.failures import ExceptionFact

if TYPE_CHECKING:
    import subprocess

    from pytest_resilience.browser.processes import ProcessId
    from pytest_resilience.browser.wire import Wire


@dataclass(eq=False, slots=True, kw_only=True)
class FailedStart:
    """A session that could not be started.

    Attributes:
        mark: Commands of the registry up to the failure.
        endpoint: URL of the driver or grid, "" if the driver itself did not start.
        wire: The way to the endpoint, None if there is none.
        remote: True if no local driver process was to serve it.
        driver_process: Identity of the local driver, None if there is none.
        child: That process as our child.
        leads_group: True if everything it started is in a process group of its own.
        error: Why.
        requested: Capabilities as they were requested; None if it did not come to that.
    """

    mark: int
    endpoint: str = ""
    wire: Wire | None = None
    remote: bool = False
    driver_process: ProcessId | None = None
    child: subprocess.Popen[bytes] | None = None
    leads_group: bool = False
    error: ExceptionFact = field(default_factory=lambda: ExceptionFact((), ""))
    requested: Any = field(default=None, repr=False)
