"""What a controller of xdist tells a worker as it starts, and a worker as it ends.

Invariant: what a worker refuses ends the run of its controller, since nobody hears what is raised
in a worker; nothing that went wrong inside the plugin in a worker goes untold.
"""

from __future__ import annotations

from typing import Any

import pytest

from pytest_resilience.plugin.faults import FaultReporter
from pytest_resilience.store.spool import Spool

#: In a worker's input: the session it belongs to.
SESSION = "resilience_session"
#: In a worker's output: how many records it could not write down.
LOST = "resilience_lost"
#: In a worker's output: why it runs none of its items.
REFUSAL = "resilience_refusal"
#: In a worker's output: what the user should know of its items.
NOTICES = "resilience_notices"
#: In a worker's output: what the plugin could not do there.
WARNINGS = "resilience_warnings"


class SpoolCloser:
    """Closes a worker's spool when the worker ends."""

    def __init__(self, spool: Spool | None) -> None:
        self._spool = spool

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Say how much could not be written."""
        output: dict[str, Any] = getattr(session.config, "workeroutput", {})
        if self._spool is not None and self._spool.lost:
            output[LOST] = self._spool.lost

    def pytest_unconfigure(self) -> None:
        """Close the spool."""
        if self._spool is not None:
            self._spool.close()


class WorkerInput:
    """Tells xdist's workers which session they belong to, and hears what they have to say."""

    def __init__(self, session_id: str, faults: FaultReporter) -> None:
        self._session_id = session_id
        self._faults = faults

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Pass the session id to a worker about to start."""
        node.workerinput[SESSION] = self._session_id

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Pass on a worker's notices; end the session if it refused its items."""
        output = getattr(node, "workeroutput", {})
        for told in (*output.get(WARNINGS, ()), *output.get(NOTICES, ())):
            self._faults.warn(told)
        refusal = output.get(REFUSAL)
        if refusal is not None:
            raise pytest.UsageError(refusal)


def workers_of(config: pytest.Config) -> int:
    """Return how many workers the run of this process was begun with, 1 without any."""
    told = getattr(config, "workerinput", {}).get("workercount")
    if told is not None:
        return int(told)
    # Such as ``popen`` and ``3*popen``.
    specs = [str(spec).partition("*") for spec in config.getoption("tx", None) or ()]
    return sum(int(n) if rest and n.isdigit() else 1 for n, rest, _spec in specs) or 1
