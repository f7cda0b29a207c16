"""Ends the run in order when its process is told to end.

Of SIGTERM, which most CI systems send to a job that was cancelled, Python dies at once: browsers
stay behind, reports are not written. Here it does what a Ctrl-C does.

Invariant: a handler that somebody else has set stays; a child that was forked dies of the signal
as it would have without us; so does whoever gets it twice.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType

import pytest


class Termination:
    """Stands in for Python's own way with SIGTERM.

    Args:
        leave: What to do before a worker dies of the signal; None in a process that reports,
            which is interrupted instead.
    """

    def __init__(self, leave: Callable[[], object] | None) -> None:
        self._leave = leave
        self._owner = 0

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        """Listen, where nobody else does."""
        # Only the main thread may; and who runs pytest in another has plans of its own.
        main = threading.current_thread() is threading.main_thread()
        if main and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            self._owner = os.getpid()
            signal.signal(signal.SIGTERM, self._told_to_end)

    def pytest_unconfigure(self) -> None:
        """Listen no longer."""
        if self._owner == os.getpid() and signal.getsignal(signal.SIGTERM) == self._told_to_end:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def _told_to_end(self, number: int, _frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        if os.getpid() == self._owner:
            if self._leave is None:
                raise KeyboardInterrupt("ended by SIGTERM")
            self._leave()
        os.kill(os.getpid(), number)
