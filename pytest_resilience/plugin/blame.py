"""What workers know of each other's browsers: a start that fails here may succeed elsewhere.

Invariant: every start of a browser on this machine, and every one that fails, is written down
where the workers of the run can read it; nothing here decides what is done about it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pytest_resilience.core.shared import Kept, Own
from pytest_resilience.core.starts import Start, Starts

if TYPE_CHECKING:
    from pytest_resilience.browser.sessions import DriverSession
    from pytest_resilience.browser.starts import FailedStart

#: Stands for all browsers: a driver that does not start has not said for which one it would have.
ANY = "browser"


class StartBook:
    """The starts of browsers, as one worker sees them.

    Args:
        worker: Name of this worker.
        monotonic: Clock that all workers share, seconds.
        kept: Returns where the starts of a browser are kept, by its name; in this process's
            memory if not given.
    """

    def __init__(
        self,
        worker: str,
        monotonic: Callable[[], float],
        kept: Callable[[str], Kept[Starts]] | None = None,
    ) -> None:
        self.worker = worker
        self._monotonic = monotonic
        self._make = kept or (lambda _name: Own(Starts()))
        self._kept: dict[str, Kept[Starts]] = {}
        #: Starts that have failed here since the last one that did not.
        self.failed_in_a_row = 0

    def fails_alone(self, start: FailedStart | None) -> bool:
        """Return whether `start`, which failed here, is the trouble of this worker alone."""
        if start is None or start.remote:
            # Whether a grid can be reached is one question for all.
            return False
        starts = self._of(plain(start.browser)).read()
        return starts.fails_alone(self.worker, self._monotonic())

    def untried(self, start: FailedStart | None) -> bool:
        """Return whether nobody else has tried `start`, which failed here."""
        if start is None or start.remote:
            return False
        starts = self._of(plain(start.browser)).read()
        return starts.untried(self.worker, self._monotonic())

    def failed(self, start: FailedStart | None) -> None:
        """Take note of a start that has failed here, if one has."""
        if start is not None and not start.remote:
            self.note(plain(start.browser), succeeded=False)

    def started(self, session: DriverSession) -> None:
        """Take note of a session that was started here."""
        if not session.remote:
            self.note(plain(session.browser), succeeded=True)

    def note(self, browser: str, *, succeeded: bool) -> None:
        """A start of `browser` has ended here, well or not."""
        self.failed_in_a_row = 0 if succeeded else self.failed_in_a_row + 1

        def noted(starts: Starts) -> tuple[Starts, None]:
            # Inside: only who has heard of the others knows what time it is for all.
            return starts.after(Start(self.worker, self._monotonic(), succeeded)), None

        for name in dict.fromkeys((browser, ANY)):
            self._of(name).update(noted)

    def _of(self, name: str) -> Kept[Starts]:
        if name not in self._kept:
            self._kept[name] = self._make(name)
        return self._kept[name]


def plain(browser: str) -> str:
    """Return the name of `browser`, whichever variant of it was asked for."""
    return browser.removesuffix("-headless-shell") or ANY
