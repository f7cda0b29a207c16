"""What can be broken on purpose: types of failure, intensities, and the catalogue of faults.

Every type and intensity stands for one concrete fault per platform, or for none: what
cannot be done for real, reliably and without traces is refused, not imitated.

Invariant: the catalogue is data. On one platform, a type and an intensity name at most one
fault; the code that makes a fault happen knows it by its name.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass

from pytest_resilience.core.failures import ErrorType
from pytest_resilience.exceptions import ConfigurationError


class FailureType(str, enum.Enum):
    """Category of an injected failure."""

    CONNECTION_FAILURE = "connection_failure"
    RESOURCE_EXHAUSTION = "resource_exhaustion"
    GPU_ERROR = "gpu_error"
    API_ERROR = "api_error"
    TIMEOUT = "timeout"
    CRASH = "crash"
    HANG = "hang"
    DRIVER_CRASH = "driver_crash"
    WORKER_CRASH = "worker_crash"
    DATABASE_ERROR = "database_error"
    INTERNAL_ERROR = "internal_error"


class Intensity(str, enum.Enum):
    """How much an injected failure hurts; members compare by that, not by their letters."""

    MILD = "mild"
    MODERATE = "moderate"
    SEVERE = "severe"

    @property
    def rank(self) -> int:
        """0 for mild, 1 for moderate, 2 for severe."""
        return tuple(Intensity).index(self)

    def __lt__(self, other: str) -> bool:
        return self.rank < Intensity(other).rank

    def __le__(self, other: str) -> bool:
        return self.rank <= Intensity(other).rank

    def __gt__(self, other: str) -> bool:
        return self.rank > Intensity(other).rank

    def __ge__(self, other: str) -> bool:
        return self.rank >= Intensity(other).rank


class Platform(enum.Flag):
    """Where a session runs; a session is one of them, a fault is possible on several."""

    #: Chromium, Chrome or Edge, with the driver on this machine.
    CHROMIUM = enum.auto()
    #: Firefox, with the driver on this machine.
    FIREFOX = enum.auto()
    #: Chromium, Chrome or Edge behind a Selenium Grid: out of reach of signals.
    GRID_CHROMIUM = enum.auto()
    #: Firefox behind a Selenium Grid.
    GRID_FIREFOX = enum.auto()
    #: No browser, or one for which no faults are known.
    NO_BROWSER = enum.auto()

    @classmethod
    def of(cls, browser: str, *, remote: bool = False) -> Platform:
        """Return the platform of a session.

        Args:
            browser: Its capability ``browserName``; "" if there is no browser.
            remote: Whether its endpoint is a grid.
        """
        name = browser.strip().lower()
        if "firefox" in name:
            return cls.GRID_FIREFOX if remote else cls.FIREFOX
        if "chrom" in name or "edge" in name:
            return cls.GRID_CHROMIUM if remote else cls.CHROMIUM
        return cls.NO_BROWSER

    @property
    def label(self) -> str:
        """The platforms in words, such as ``Chromium, Firefox``."""
        return ", ".join(text for one, text in _LABELS.items() if one in self)


_LABELS = {
    Platform.CHROMIUM: "Chromium",
    Platform.FIREFOX: "Firefox",
    Platform.GRID_CHROMIUM: "Chromium on a Grid",
    Platform.GRID_FIREFOX: "Firefox on a Grid",
    Platform.NO_BROWSER: "no browser",
}
#: Platforms whose processes are on this machine, so that signals reach them.
LOCAL = Platform.CHROMIUM | Platform.FIREFOX
#: Platforms that speak the Chrome DevTools Protocol.
DEVTOOLS = Platform.CHROMIUM | Platform.GRID_CHROMIUM
#: Both places of a Firefox.
FOXES = Platform.FIREFOX | Platform.GRID_FIREFOX
#: All platforms behind a grid.
GRID = Platform.GRID_CHROMIUM | Platform.GRID_FIREFOX
#: All platforms with a browser.
BROWSERS = LOCAL | GRID
#: All platforms.
EVERYWHERE = BROWSERS | Platform.NO_BROWSER


class Need(enum.Enum):
    """What a fault needs beside its platform; the value says it in words."""

    NOTHING = ""
    BIDI = "a session with WebDriver BiDi (options.enable_bidi = True)"
    #: On any other page nothing happens.
    WEBGL = "a page that draws by WebGL"
    XDIST = "tests that run in workers of pytest-xdist"
    HOOK = "an implementation of the hook pytest_resilience_faults"


#: Errors of a `Simulation` that are of the connection to the driver, not an answer of it.
REFUSED, RESET, SILENT = "connection refused", "connection reset", "read timeout"


@dataclass(frozen=True, slots=True)
class Simulation:
    """What a test would see of a fault.

    Attributes:
        error: Error code of the WebDriver protocol, or `REFUSED`, `RESET` or `SILENT`.
        message: Message of the driver's answer; "" without an answer.
    """

    error: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class Fault:
    """One concrete fault: what happens for real.

    Attributes:
        name: How the code that makes it happen knows it. The same name may stand in two rows
            for the same effect reached in different ways.
        meaning: What happens, in one sentence for the reference page.
        platforms: Where it is possible.
        errors: Types with which the failure may be diagnosed; none if tests usually survive.
        recoverable: Whether a run with ``--resilience`` gets over it with its defaults.
        lasts_s: Seconds after which it ends on its own; 0 if it happens in one moment and is
            got over only by recovery; None if it is in force until the attempt ends.
        during: Whether it can strike while a WebDriver command is under way.
        need: What it needs beside its platform.
        simulation: What ``simulated=True`` raises; None if there would be nothing to see.
    """

    name: str
    type: FailureType
    intensity: Intensity
    platforms: Platform
    meaning: str
    errors: tuple[ErrorType, ...] = ()
    recoverable: bool = True
    lasts_s: float | None = None
    during: bool = False
    need: Need = Need.NOTHING
    simulation: Simulation | None = None

    @property
    def outcome(self) -> str:
        """What is expected of a run with ``--resilience``: survived, recovered or lost."""
        if not self.errors:
            return "survived"
        return "recovered" if self.recoverable else "lost"


_T, _I, _P, _E = FailureType, Intensity, Platform, ErrorType
_CRASHED = Simulation("unknown error", "tab crashed")
_CLOSED = Simulation(
    "invalid session id",
    "session deleted as the browser has closed the connection\n"
    "from disconnected: not connected to DevTools",
)
_MARIONETTE = Simulation("unknown error", "Failed to decode response from marionette")
_OFFLINE = Simulation("unknown error", "unknown error: net::ERR_INTERNET_DISCONNECTED")
_FOX_OFFLINE = Simulation("unknown error", "Reached error page: about:neterror?e=netOffline")
_UNREACHABLE = Simulation("unknown error", "unknown error: net::ERR_CONNECTION_RESET")
_FOX_UNREACHABLE = Simulation("unknown error", "Reached error page: about:neterror?e=netReset")
_LOADING = Simulation("timeout", "timeout: Timed out receiving message from renderer: 5.000")
_FOX_LOADING = Simulation("timeout", "Navigation timed out after 5000 ms")
_GRAPHICS = Simulation("javascript error", "javascript error: WebGL context lost")

# fmt: off
CATALOGUE: tuple[Fault, ...] = (
    Fault("slow_network", _T.CONNECTION_FAILURE, _I.MILD, DEVTOOLS,
          "The page's network gets 500 ms of latency and 50 kB/s."),
    Fault("reset_one_command", _T.CONNECTION_FAILURE, _I.MILD, FOXES,
          "The connection to the driver is reset under one command.",
          (_E.CONNECTION,), lasts_s=0, during=True, simulation=Simulation(RESET)),
    Fault("go_offline", _T.CONNECTION_FAILURE, _I.MODERATE, DEVTOOLS,
          "The page is offline, by DevTools.", (_E.NETWORK,), simulation=_OFFLINE),
    Fault("go_offline", _T.CONNECTION_FAILURE, _I.MODERATE, FOXES,
          "The page is offline, by WebDriver BiDi.",
          (_E.NETWORK,), need=Need.BIDI, simulation=_FOX_OFFLINE),
    Fault("cut_driver_connection", _T.CONNECTION_FAILURE, _I.SEVERE, BROWSERS,
          "The connection to the driver or grid is cut on the side of the test; commands in "
          "flight are lost, later ones are refused.",
          (_E.CONNECTION, _E.COORDINATOR), during=True, simulation=Simulation(REFUSED)),

    Fault("throttle_cpu", _T.RESOURCE_EXHAUSTION, _I.MILD, DEVTOOLS,
          "The page gets a quarter of its processor time."),
    Fault("fill_heap", _T.RESOURCE_EXHAUSTION, _I.MODERATE, BROWSERS,
          "The page holds 200 MB of memory more than it needs."),
    Fault("limit_memory", _T.RESOURCE_EXHAUSTION, _I.SEVERE, _P.CHROMIUM,
          "The process of the page may not get any more memory, and dies when it wants some.",
          (_E.BROWSER, _E.RESOURCE), lasts_s=0, simulation=_CRASHED),
    Fault("exhaust_memory", _T.RESOURCE_EXHAUSTION, _I.SEVERE, _P.GRID_CHROMIUM,
          "The process of the page asks for memory until it gets no more, and dies "
          "(chrome://memory-exhaust).",
          (_E.BROWSER, _E.RESOURCE), lasts_s=0, simulation=_CRASHED),

    Fault("lose_webgl_context", _T.GPU_ERROR, _I.MILD, DEVTOOLS,
          "The page's WebGL contexts are lost, by their own extension WEBGL_lose_context.",
          (_E.PRODUCT, _E.UNKNOWN), recoverable=False, need=Need.WEBGL, simulation=_GRAPHICS),
    Fault("crash_gpu_process", _T.GPU_ERROR, _I.MODERATE, DEVTOOLS,
          "The graphics process crashes, by DevTools; the browser starts another one.",
          (_E.GPU,), lasts_s=0, need=Need.WEBGL, simulation=_GRAPHICS),
    Fault("relaunch_without_gpu", _T.GPU_ERROR, _I.SEVERE, DEVTOOLS,
          "The browser is started anew, with graphics acceleration and WebGL switched off.",
          (_E.PRODUCT, _E.UNKNOWN), recoverable=False, need=Need.WEBGL),

    Fault("answer_503_once", _T.API_ERROR, _I.MILD, DEVTOOLS,
          "The next request that a script of the page makes is answered with 503.",
          (_E.PRODUCT, _E.PAGE), recoverable=False),
    Fault("answer_503_once", _T.API_ERROR, _I.MILD, FOXES,
          "The same, by WebDriver BiDi.",
          (_E.PRODUCT, _E.PAGE), recoverable=False, need=Need.BIDI),
    Fault("answer_500", _T.API_ERROR, _I.MODERATE, DEVTOOLS,
          "Every request that a script of the page makes is answered with 500.",
          (_E.PRODUCT, _E.PAGE), recoverable=False),
    Fault("answer_500", _T.API_ERROR, _I.MODERATE, FOXES,
          "The same, by WebDriver BiDi.",
          (_E.PRODUCT, _E.PAGE), recoverable=False, need=Need.BIDI),
    Fault("reset_requests", _T.API_ERROR, _I.SEVERE, DEVTOOLS,
          "Every request of the page, also for documents, fails as if the connection were reset.",
          (_E.NETWORK, _E.PAGE, _E.PRODUCT), simulation=_UNREACHABLE),
    Fault("reset_requests", _T.API_ERROR, _I.SEVERE, FOXES,
          "The same, by WebDriver BiDi.",
          (_E.NETWORK, _E.PAGE, _E.PRODUCT), need=Need.BIDI, simulation=_FOX_UNREACHABLE),

    Fault("delay_commands", _T.TIMEOUT, _I.MILD, BROWSERS,
          "Every answer of the driver or grid comes one second late.", during=True),
    Fault("stall_page_load", _T.TIMEOUT, _I.MODERATE, DEVTOOLS,
          "Requests of the page are held back, so that no page finishes loading.",
          (_E.PAGE, _E.TIMEOUT), recoverable=False, simulation=_LOADING),
    Fault("stall_page_load", _T.TIMEOUT, _I.MODERATE, FOXES,
          "The same, by WebDriver BiDi.",
          (_E.PAGE, _E.TIMEOUT), recoverable=False, need=Need.BIDI, simulation=_FOX_LOADING),
    Fault("stall_script", _T.TIMEOUT, _I.SEVERE, LOCAL | _P.GRID_CHROMIUM,
          "A script of the page computes without end.",
          (_E.PAGE, _E.BROWSER, _E.DRIVER, _E.TIMEOUT), recoverable=False, lasts_s=0),
    Fault("stall_script", _T.TIMEOUT, _I.SEVERE, _P.GRID_FIREFOX,
          "The same; from here it looks like a browser that hangs.",
          (_E.BROWSER, _E.NETWORK), lasts_s=0),

    Fault("kill_renderer", _T.CRASH, _I.MILD, _P.CHROMIUM,
          "The processes that render the pages are killed (SIGKILL).",
          (_E.BROWSER,), lasts_s=0, during=True, simulation=_CRASHED),
    Fault("open_kill_page", _T.CRASH, _I.MILD, _P.GRID_CHROMIUM,
          "The process that renders the page ends itself (chrome://kill).",
          (_E.BROWSER,), lasts_s=0, simulation=_CRASHED),
    Fault("crash_tab", _T.CRASH, _I.MODERATE, DEVTOOLS,
          "The tab crashes, by DevTools (Page.crash).",
          (_E.BROWSER,), lasts_s=0, simulation=_CRASHED),
    Fault("kill_content_process", _T.CRASH, _I.MODERATE, _P.FIREFOX,
          "The process that shows the page is killed (SIGKILL); under WebDriver, Firefox ends "
          "with it.",
          (_E.BROWSER,), lasts_s=0, during=True, simulation=_MARIONETTE),
    Fault("kill_browser", _T.CRASH, _I.SEVERE, _P.CHROMIUM,
          "The browser is killed (SIGKILL).",
          (_E.BROWSER,), lasts_s=0, during=True, simulation=_CLOSED),
    Fault("kill_browser", _T.CRASH, _I.SEVERE, _P.FIREFOX,
          "The browser is killed (SIGKILL).",
          (_E.BROWSER,), lasts_s=0, during=True, simulation=_MARIONETTE),
    Fault("crash_browser", _T.CRASH, _I.SEVERE, _P.GRID_CHROMIUM,
          "The browser crashes, by DevTools (Browser.crash).",
          (_E.BROWSER,), lasts_s=0, simulation=_CLOSED),

    Fault("pause_renderer", _T.HANG, _I.MILD, LOCAL,
          "The processes that show the pages are stopped for two seconds (SIGSTOP, SIGCONT).",
          lasts_s=2, during=True),
    Fault("occupy_page", _T.HANG, _I.MILD, GRID,
          "A script of the page computes for two seconds.", lasts_s=2),
    Fault("freeze_browser", _T.HANG, _I.MODERATE, LOCAL,
          "The browser is stopped (SIGSTOP).",
          (_E.BROWSER,), during=True, simulation=Simulation(SILENT)),
    Fault("hold_commands", _T.HANG, _I.MODERATE, GRID,
          "Answers of the grid are held back for five seconds.", lasts_s=5, during=True),
    Fault("freeze_driver", _T.HANG, _I.SEVERE, LOCAL,
          "The driver is stopped (SIGSTOP).",
          (_E.DRIVER,), during=True, simulation=Simulation(SILENT)),
    Fault("open_hang_page", _T.HANG, _I.SEVERE, _P.GRID_CHROMIUM,
          "The process that renders the page hangs for ever (chrome://hang).",
          (_E.BROWSER, _E.PAGE, _E.TIMEOUT), lasts_s=0, simulation=_LOADING),

    Fault("pause_driver", _T.DRIVER_CRASH, _I.MILD, LOCAL,
          "The driver is stopped for two seconds (SIGSTOP, SIGCONT).", lasts_s=2, during=True),
    Fault("terminate_driver", _T.DRIVER_CRASH, _I.MODERATE, LOCAL,
          "The driver is told to end (SIGTERM).",
          (_E.DRIVER,), lasts_s=0, during=True, simulation=Simulation(REFUSED)),
    Fault("kill_driver", _T.DRIVER_CRASH, _I.SEVERE, LOCAL,
          "The driver is killed (SIGKILL); its browser is left behind.",
          (_E.DRIVER,), lasts_s=0, during=True, simulation=Simulation(REFUSED)),

    Fault("pause_worker", _T.WORKER_CRASH, _I.MILD, EVERYWHERE,
          "The worker is stopped for two seconds (SIGSTOP, SIGCONT).",
          lasts_s=2, during=True, need=Need.XDIST),
    Fault("exit_worker", _T.WORKER_CRASH, _I.MODERATE, EVERYWHERE,
          "The worker ends at once, without any clean-up.",
          (_E.WORKER,), lasts_s=0, during=True, need=Need.XDIST),
    Fault("kill_worker", _T.WORKER_CRASH, _I.SEVERE, EVERYWHERE,
          "The worker is killed (SIGKILL).",
          (_E.WORKER,), lasts_s=0, during=True, need=Need.XDIST),

    Fault("lock_history", _T.DATABASE_ERROR, _I.MILD, EVERYWHERE,
          "Another process holds the lock of the history file.", during=True),
    Fault("fail_application_database", _T.DATABASE_ERROR, _I.MODERATE, EVERYWHERE,
          "The database of the application fails, as your own hook arranges it; an error that "
          "does not tell of a database out of reach or locked is not recovered.",
          (_E.DATABASE,), need=Need.HOOK),
    Fault("corrupt_history", _T.DATABASE_ERROR, _I.SEVERE, EVERYWHERE,
          "The history file is unreadable; the true one is put back afterwards.", during=True),

    Fault("raise_in_observer", _T.INTERNAL_ERROR, _I.MILD, EVERYWHERE,
          "An exception is raised where pytest-resilience observes the test.", lasts_s=0),
    Fault("raise_error", _T.INTERNAL_ERROR, _I.MODERATE, EVERYWHERE,
          "An exception is raised at the point: in the phase, the fixture or the command.",
          (_E.UNKNOWN, _E.PRODUCT), recoverable=False, lasts_s=0),
    Fault("raise_in_hook", _T.INTERNAL_ERROR, _I.SEVERE, EVERYWHERE,
          "An exception is raised in a hook of pytest around the phase.",
          (_E.UNKNOWN, _E.PRODUCT), recoverable=False, lasts_s=0),
)
# fmt: on
"""All faults, by type and intensity."""


def find(kind: FailureType, intensity: Intensity, platform: Platform) -> Fault:
    """Return the fault of a type and intensity on the platform of a session.

    Raises:
        ConfigurationError: There is none; the message names those that are possible.
    """
    for fault in faults(platform):
        if (fault.type, fault.intensity) == (kind, intensity):
            return fault
    raise ConfigurationError(
        f"{kind.value}:{intensity.value} is not possible on {platform.label}; "
        f"possible there: {spelled(faults(platform))}."
    )


def faults(platform: Platform = EVERYWHERE) -> tuple[Fault, ...]:
    """Return the faults that are possible on at least one of the platforms."""
    return tuple(fault for fault in CATALOGUE if fault.platforms & platform)


def offers(platform: Platform, having: Iterable[Need] = ()) -> tuple[Fault, ...]:
    """Return the faults that are possible on all the platforms, with no more than `having`."""
    needs = {Need.NOTHING, *having}
    usable = [fault for fault in faults(platform) if fault.need in needs]
    return tuple(fault for fault in usable if _covered(fault, usable, platform))


def _covered(fault: Fault, usable: Iterable[Fault], platform: Platform) -> bool:
    """Return whether the type and intensity of `fault` is possible on all the platforms."""
    reached = Platform(0)
    for other in usable:
        if (other.type, other.intensity) == (fault.type, fault.intensity):
            reached |= other.platforms
    return platform in reached


def spelled(chosen: Iterable[Fault]) -> str:
    """Return faults as people write them: ``crash:mild/severe, hang:mild``."""
    grouped: dict[str, list[str]] = {}
    for fault in chosen:
        levels = grouped.setdefault(fault.type.value, [])
        if fault.intensity.value not in levels:
            levels.append(fault.intensity.value)
    return ", ".join(f"{kind}:{'/'.join(levels)}" for kind, levels in grouped.items())
