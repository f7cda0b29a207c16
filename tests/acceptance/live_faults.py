"""The faults: what dies, cannot be loaded, does not start, or is nobody else's fault.

Not among them: what is stopped, what lies behind a grid, and what the memory is to blame for,
which have tables of their own.

Invariant: a fault strikes for real; it leaves the shared browser as it was, or says that
it does not.
"""

from __future__ import annotations

import contextlib
import functools
import signal
import stat
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import psutil
from selenium.common.exceptions import NoSuchElementException
from selenium.webdriver.support.ui import WebDriverWait

from tests.acceptance.live import Fault, Lab
from tests.acceptance.suites.faulty_app import Server, unused_port
from tests.acceptance.victims import (
    content_processes,
    driver_process,
    ended,
    graphics_process,
    main_process,
    renderers,
    signalled,
    until,
)
from tests.certificates import speak_tls

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
        signalled(victims, by)
        until(lambda: all(map(ended, victims)))
        lab.now()
        return driver.find_element("id", "buy")

    return strike


def kill_tab_of_firefox(lab: Lab) -> object:
    """Kill what shows the page, and ask until the browser has noticed, or looks elsewhere."""
    ask = functools.partial(kill(content_processes, "firefox"), lab)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with contextlib.suppress(NoSuchElementException):
            return ask()
        ask = functools.partial(lab.shared("firefox").find_element, "id", "buy")
    return ask()


def crash_tab(lab: Lab) -> object:
    """Crash the tab by DevTools, while no command runs."""
    driver = lab.browser()
    with contextlib.suppress(Exception):
        driver.execute_cdp_cmd("Page.crash", {})
    lab.now()
    return driver.find_element("id", "buy")


def lose_graphics(lab: Lab) -> object:
    """Kill the graphics process under a page that draws."""
    return lose_graphics_of(lab.starts["chrome"]("--enable-unsafe-swiftshader"), lab)


def lose_graphics_of(driver: Any, lab: Lab) -> object:
    """Kill the graphics process of a browser that may draw."""
    driver.get(lab.app.url)
    driver.execute_script(
        "window.gl = document.createElement('canvas').getContext('webgl');"
        "gl.clear(gl.COLOR_BUFFER_BIT); gl.finish();"
    )
    (victim,) = graphics_process(driver)
    victim.kill()
    until(lambda: ended(victim))
    lab.now()
    return WebDriverWait(driver, 20, ignored_exceptions=[]).until(
        lambda d: d.execute_script(
            "if (gl.isContextLost()) throw new Error('WebGL context lost'); return false"
        )
    )


# What cannot be loaded


def visit(
    path: str, then: str = "", kind: str = "chrome", limit_s: float = 60.0
) -> Callable[[Lab], object]:
    """Return a fault of the application's own, and the element that is then missed."""

    def strike(lab: Lab) -> object:
        driver = lab.browser(kind)
        driver.set_page_load_timeout(limit_s)
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
    return never_idle_in(lab.browser(), lab)


def never_idle_in(driver: Any, lab: Lab) -> object:
    """Let a page of a browser compute without end."""
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
    Fault("server silent", visit("/slow", limit_s=2), ("page",), False),
    Fault("page never loaded", visit("/waiting", limit_s=2), ("page",), False),
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
        ("tab killed", kill_tab_of_firefox, ("browser",), True, False, True),
        ("browser killed", kill(main_process, "firefox"), ("browser",), True, False, True),
        ("driver killed", kill(driver_process, "firefox"), ("driver",), True, False, True),
    )
)
