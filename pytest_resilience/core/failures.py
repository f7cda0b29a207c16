"""What went wrong, as plain values: the vocabulary every other room shares.

Invariant: values here are immutable and made of strings, numbers and tuples, so
they can cross a process boundary and be written to a spool unchanged.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field


class ErrorType(enum.Enum):
    """Category of a failure; `infrastructure` says whether it excuses the product."""

    #: An assertion, or a page element missing in a healthy browser: the product's own.
    PRODUCT = ("product", False, "product")
    #: The test itself is wrong: bad selector, bad capability, closed its own window.
    TEST_CODE = ("test_code", False, "test-code")
    #: The page or the application behind it: race, script error, 5xx, unreachable server.
    PAGE = ("page", False, "page")
    #: The browser or one of its tabs died, crashed or froze.
    BROWSER = ("browser", True, "browser")
    #: The WebDriver executable died or froze.
    DRIVER = ("driver", True, "driver")
    #: The graphics process or context was lost.
    GPU = ("gpu", True, "browser")
    #: The wire between test and driver or grid broke.
    CONNECTION = ("connection", True, "network")
    #: The browser's own network failed.
    NETWORK = ("network", True, "network")
    #: A command outlived its deadline for a reason that is not the product's.
    TIMEOUT = ("timeout", True, "host")
    #: Memory, disk, descriptors, processes or ports ran short.
    RESOURCE = ("resource", True, "host")
    #: A device the test needs failed.
    HARDWARE = ("hardware", True, "host")
    #: A test worker process or a grid node was lost.
    WORKER = ("worker", True, "grid")
    #: The unit of work itself was lost or refused before it could run.
    TASK = ("task", True, "host")
    #: A database the environment needs failed.
    DATABASE = ("database", True, "host")
    #: A Selenium Grid hub or the controller of the workers failed.
    COORDINATOR = ("coordinator", True, "grid")
    #: The host is set up wrongly or is failing: no browser, wrong versions, no rights.
    SYSTEM = ("system", True, "host")
    #: A circuit refused the work because what it needs is known to be down.
    CIRCUIT_OPEN = ("circuit_open", True, "grid")
    #: Nothing decided it; treated as the product's own unless the user says otherwise.
    UNKNOWN = ("unknown", False, "product")

    def __init__(self, label: str, infrastructure: bool, layer: str) -> None:
        self.label = label
        #: True where the failure says nothing about the product under test.
        self.infrastructure = infrastructure
        #: Where it happened: product, page, test-code, browser, driver, grid, host, network.
        self.layer = layer

    @classmethod
    def from_label(cls, label: str) -> ErrorType:
        """Return the member written as `label`; raises ValueError naming the valid ones."""
        for member in cls:
            if member.label == label:
                return member
        valid = ", ".join(member.label for member in cls)
        raise ValueError(f"unknown error type {label!r}; valid ones: {valid}")


class ErrorSeverity(enum.Enum):
    """How much a failure hurts, from a note to the loss of the environment."""

    INFO = "info"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class Verdict(enum.Enum):
    """The one final result of an item."""

    PASSED = "passed"
    #: Passed after at least one infrastructure failure was recovered.
    RECOVERED = "recovered"
    #: The product (or the test) failed.
    FAILED = "failed"
    #: The infrastructure failed and could not be recovered.
    UNRECOVERED = "unrecovered"
    #: A circuit never closed, so the item never ran.
    BLOCKED = "blocked"
    SKIPPED = "skipped"
    XFAILED = "xfailed"
    XPASSED = "xpassed"

    @property
    def fails_session(self) -> bool:
        """True for verdicts with which a session must not be green."""
        return self in (Verdict.FAILED, Verdict.UNRECOVERED, Verdict.BLOCKED)


@dataclass(frozen=True, slots=True)
class ExceptionFact:
    """One exception of a chain or group, without its frames.

    Attributes:
        mro: Qualified class names from the class itself to ``builtins.BaseException``.
        message: ``str(exception)``, clipped.
        relation: How it hangs on its predecessor: ``raised`` (the outermost one),
            ``cause``, ``context`` or ``member`` (of an exception group).
        origin: ``file:function`` of the frame that raised it, innermost; "" if unknown.
        of_driver: Whether it came out of a command of a driver; None if nobody watched, as of
            an exception read from a log.
    """

    # An explicit field: every class has an attribute `mro`, which is no default.
    mro: tuple[str, ...] = field()
    message: str = field()
    relation: str = "raised"
    origin: str = ""
    of_driver: bool | None = None

    @property
    def type_name(self) -> str:
        """Unqualified class name, such as ``NoSuchElementException``."""
        return self.mro[0].rpartition(".")[2] if self.mro else ""


@dataclass(frozen=True, slots=True)
class Failure:
    """An exception in a phase of an attempt, as observed.

    Attributes:
        nodeid: The item's node id.
        phase: ``setup``, ``call`` or ``teardown``.
        chain: The exception and all its causes, contexts and group members, outermost first.
        attempt: Number of the attempt, from 1.
        fixture: Name of the fixture in whose set-up it was raised, "" if none.
        command: Last WebDriver command of the session concerned, "" if none.
        browser: Browser name of the session concerned, "" if none.
        endpoint: URL of the driver or grid concerned, "" if none.
        remote: True if that endpoint is a grid and not a driver we can see the process of.
        worker: xdist worker id, or "main".
        injected: Name of the fault injected into this attempt, "" if none.
        environment: Browser, its major version, platform and local or grid, "" if unknown.
    """

    nodeid: str
    phase: str
    chain: tuple[ExceptionFact, ...]
    attempt: int = 1
    fixture: str = ""
    command: str = ""
    browser: str = ""
    endpoint: str = ""
    remote: bool = False
    worker: str = "main"
    injected: str = ""
    environment: str = ""

    @property
    def exception(self) -> str:
        """Class name of the outermost exception."""
        return self.chain[0].type_name if self.chain else ""

    @property
    def message(self) -> str:
        """Message of the outermost exception."""
        return self.chain[0].message if self.chain else ""


@dataclass(frozen=True, slots=True)
class ErrorContext:
    """Where an error happened; the fields of `Failure` that outlive the exception."""

    nodeid: str = ""
    phase: str = ""
    attempt: int = 1
    fixture: str = ""
    command: str = ""
    browser: str = ""
    endpoint: str = ""
    worker: str = "main"
    hardware_id: str = ""

    @classmethod
    def of(cls, failure: Failure, hardware_id: str = "") -> ErrorContext:
        """Return the context of `failure`."""
        return cls(
            nodeid=failure.nodeid,
            phase=failure.phase,
            attempt=failure.attempt,
            fixture=failure.fixture,
            command=failure.command,
            browser=failure.browser,
            endpoint=failure.endpoint,
            worker=failure.worker,
            hardware_id=hardware_id,
        )


@dataclass(slots=True)
class ErrorReport:
    """One diagnosed error and what became of it.

    Attributes:
        error_id: Unique across machines.
        evidence: Probe results as plain dicts: probe, answer, detail, cost_s.
        retry_count: Attempts of the same item already spent before this error.
        aggregated_count: Errors with the same fingerprint folded into this one.
        related_errors: Ids of errors that share this one's root cause.
        resolution_status: ``open``, ``retrying``, ``resolved`` or ``failed``.
    """

    error_id: str
    error_type: ErrorType
    error_severity: ErrorSeverity
    message: str
    context: ErrorContext
    exception: str = ""
    rule: str = ""
    confidence: float = 0.0
    evidence: tuple[dict[str, object], ...] = ()
    retry_count: int = 0
    retry_successful: bool | None = None
    aggregated_count: int = 1
    related_errors: list[str] = field(default_factory=list)
    resolution_status: str = "open"
    injected: str = ""
