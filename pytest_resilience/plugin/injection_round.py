"""One attempt of one item, as far as failures are injected into it.

Invariant: what was injected is told, with what proves it, and undone when the attempt ends,
whichever way it does; what could not be injected is told as well, with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_resilience.core.injection import Platform
from pytest_resilience.core.injection_plan import Injection

if TYPE_CHECKING:
    from pytest_resilience.browser.fault_applied import Applied
    from pytest_resilience.browser.sessions import DriverSession

#: Its point was never met.
NOT_REACHED = "the attempt ended before its point was reached"
#: Its point was met, but there was nothing to strike.
NO_BROWSER = "the attempt used no browser"


@dataclass(eq=False, slots=True)
class Hit:
    """What became of one injection.

    Attributes:
        struck: Whether the failure happened.
        reason: Why it did not, "" if it did.
        fault: Name of the fault, "" if it is not known.
        browser: Browser of the session that was struck, "" if none was.
        platform: Where that runs.
        applied: What is in force, None if nothing is that could be undone.
        at_us: Microseconds since the epoch, UTC.
        recorded: Whether it is told already.
    """

    injection: Injection
    struck: bool = False
    reason: str = ""
    fault: str = ""
    browser: str = ""
    platform: Platform = Platform.NO_BROWSER
    applied: Applied | None = None
    at_us: int = 0
    recorded: bool = False


@dataclass(eq=False, slots=True)
class Round:
    """One attempt of one item.

    Attributes:
        name: Node id of the item.
        number: Number of the attempt, from 1.
        mark: Where the stream of WebDriver commands stood when it began.
        waiting: Injections whose points in phases and fixtures were not reached yet.
        arriving: Injections whose points were reached, and that wait for a browser.
        hits: What became of the others, in order.
        undo: What undoes them, in order.
    """

    item: Any
    name: str
    number: int
    mark: int
    waiting: list[Injection] = field(default_factory=list)
    arriving: list[Injection] = field(default_factory=list)
    hits: list[Hit] = field(default_factory=list)
    undo: list[Callable[[], object]] = field(default_factory=list)
    ended: bool = False

    @property
    def told(self) -> str:
        """What was injected, as the option writes it, separated by ", "; "" for nothing."""
        return ", ".join(str(hit.injection) for hit in self.hits if hit.struck)

    @property
    def not_told(self) -> str:
        """What was not injected though it was planned, and why, line by line; "" for nothing."""
        return "\n".join(f"{hit.injection}: {hit.reason}" for hit in self.hits if not hit.struck)

    def reached(self, when: str, fixture: str = "") -> Iterator[Injection]:
        """Yield, once, the injections that lie at a phase, or at a fixture in it."""
        for injection in list(self.waiting):
            point = injection.point
            met = point.is_fixture(when, fixture) if fixture else point.is_phase(when)
            if met and injection in self.waiting:
                self.waiting.remove(injection)
                yield injection

    def end(self) -> list[tuple[Hit, dict[str, Any]]]:
        """Undo everything; return what became of all injections, with evidence."""
        for injections, reason in ((self.waiting, NOT_REACHED), (self.arriving, NO_BROWSER)):
            self.hits += [Hit(injection, reason=reason) for injection in injections]
            injections.clear()
        # What is undone cannot be seen any more.
        proofs = [(hit, hit.applied.evidence() if hit.applied else {}) for hit in self.hits]
        while self.undo:
            self.undo.pop()()
        self.ended = True
        for hit, proof in proofs:
            if hit.applied is not None:
                proof.update(undone=hit.applied.undone, left=list(hit.applied.left))
        return proofs

    def record(self, hit: Hit, proof: dict[str, Any], *, seed: int, worker: str) -> dict[str, Any]:
        """Return what is recorded of `hit`, as plain values."""
        injection = hit.injection
        return {
            "nodeid": self.name,
            "attempt": self.number,
            "failure_type": injection.type.value,
            "intensity": injection.intensity.value,
            "point": str(injection.point),
            "fault": hit.fault,
            "simulated": injection.simulated,
            "source": injection.source,
            "struck": hit.struck,
            "reason": hit.reason,
            "browser": hit.browser,
            "platform": hit.platform.label,
            "evidence": proof,
            "seed": seed,
            "worker": worker,
            "injected_us": hit.at_us,
        }


def browser_of(session: DriverSession | None) -> str:
    """Return the browser of `session`, "" without one."""
    return session.browser if session is not None else ""


def platform_of(session: DriverSession | None) -> Platform:
    """Return where `session` runs."""
    if session is None:
        return Platform.NO_BROWSER
    return Platform.of(session.browser, remote=session.remote)
