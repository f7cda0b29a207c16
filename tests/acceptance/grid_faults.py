"""The faults of a Selenium Grid: what dies behind it, and why it has no session to offer.

Not among them: parts that are stopped while a command runs, which have a table of their own.

Invariant: a row finds the grid it needs working, whatever the rows before it have killed.
"""

from __future__ import annotations

import contextlib
import functools
import shutil
import signal
import stat
import subprocess
from pathlib import Path
from typing import Any

import psutil
from selenium import webdriver
from selenium.common.exceptions import SessionNotCreatedException

from pytest_resilience.browser.sessions import SessionRegistry
from tests.acceptance.grid import Grid
from tests.acceptance.lab import ARGUMENTS
from tests.acceptance.live import Fault, Lab
from tests.acceptance.live_faults import kill, lose_graphics_of, never_idle_in
from tests.acceptance.victims import main_process, renderers, until

#: Seconds a request may wait for a slot, instead of five minutes.
_QUEUE_S = 3.0
#: Seconds from which on a start that takes longer is no matter of the machine.
_QUEUE_LIMIT_S = 60.0


class GridLab(Lab):
    """A lab whose browsers are behind grids, which start when they are needed first."""

    def __init__(self, registry: SessionRegistry, folder: Path) -> None:
        starts = {"grid": self._start, "standalone": self._start_standalone}
        super().__init__(registry, starts, folder)
        self._grids: dict[str, Grid] = {}
        #: Seconds a request of the standalone grid may wait.
        self.queue_s = _QUEUE_S

    def grid(self, *, whole: bool = True) -> Grid:
        """Return a hub with a node, which refuses at once what it cannot do.

        Args:
            whole: Whether its nodes have to live: a hub believes in dead ones for minutes.
        """
        grid = self._grids.get("grid")
        if grid is None or _dead(grid.hub) or (whole and any(map(_dead, grid.nodes))):
            grid = self._new("grid", "--reject-unsupported-caps", "true")
            grid.add_node()
        return grid

    def standalone(self) -> Grid:
        """Return hub and node in one, with few slots; whatever it cannot do has to wait."""
        grid = self._grids.get("standalone")
        if grid is None or _dead(grid.hub) or not grid.nodes_up():
            seconds = ("--session-request-timeout", f"{self.queue_s:.0f}")
            period = ("--session-request-timeout-period", "1")
            grid = self._new("standalone", *seconds, *period, slots=2)
        return grid

    def release(self) -> None:
        """Give back what was started besides the shared browsers."""
        for driver in self.kept:
            self.registry.discard(self.registry.session_of(driver))
        self.kept.clear()

    def close(self) -> None:
        """End everything, the grids too, and whatever they have left."""
        super().close()
        for grid in self._grids.values():
            grid.close()

    def _new(self, kind: str, *arguments: str, slots: int = 0) -> Grid:
        if kind in self._grids:
            self._grids.pop(kind).close()
        place = self.folder / kind
        place.mkdir(exist_ok=True)
        grid = self._grids[kind] = Grid(place, place, *arguments, slots=slots)
        return grid

    def _start(self) -> Any:
        return connect(self.grid())

    def _start_standalone(self) -> Any:
        while True:
            try:
                return connect(self.standalone())
            except SessionNotCreatedException:
                if self.queue_s > _QUEUE_LIMIT_S:
                    raise
            # On a machine that does much else a start takes longer than the queue allows.
            self.queue_s *= 2
            self._grids.pop("standalone").close()


def connect(grid: Grid, options: Any = None, binary: str = "chromium") -> Any:
    """Start a session as a user would."""
    if options is None:
        options = webdriver.ChromeOptions()
        for argument in ARGUMENTS:
            options.add_argument(argument)
        options.binary_location = shutil.which(binary) or binary
    return webdriver.Remote(grid.url, options=options)


# What dies behind a grid


def driver_on_node(driver: Any) -> list[psutil.Process]:
    """Return the WebDriver executable that started a browser."""
    parent = main_process(driver)[0].parent()
    assert parent is not None
    assert "driver" in parent.name()
    return [parent]


def crash_tab(lab: GridLab) -> object:
    """Crash the tab by DevTools, while no command runs."""
    driver = lab.browser("grid")
    with contextlib.suppress(Exception):
        driver.execute("executeCdpCommand", {"cmd": "Page.crash", "params": {}})
    lab.now()
    return driver.find_element("id", "buy")


def never_idle(lab: GridLab) -> object:
    """A page's script computes without end."""
    return never_idle_in(_known(lab, lab.browser("grid")), lab)


def stop_tab(lab: GridLab) -> object:
    """Stop what renders the page, and load another one."""
    driver = _known(lab, lab.browser("grid"))
    driver.set_page_load_timeout(2)
    for victim in renderers(driver):
        victim.suspend()
        lab.afterwards.append(functools.partial(_resume, victim))
    lab.now()
    return driver.get(lab.app.url)


def _resume(process: psutil.Process) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.resume()


def lose_graphics(lab: GridLab) -> object:
    """Kill the graphics process under a page that draws."""
    options = webdriver.ChromeOptions()
    for argument in (*ARGUMENTS, "--enable-unsafe-swiftshader"):
        options.add_argument(argument)
    driver = connect(lab.grid(), options)
    lab.kept.append(driver)
    lab.afterwards.append(lab.release)
    return lose_graphics_of(_known(lab, driver), lab)


def _known(lab: GridLab, driver: Any) -> Any:
    """Return the driver once its browser can be asked for its processes."""
    session = lab.registry.session_of(driver)
    assert session is not None
    until(lambda: session.care.tunnel is not None)
    return driver


def kill_node(lab: GridLab) -> object:
    """Kill the node that holds the session; the hub does not know yet."""
    driver = lab.browser("grid")
    _end(lab.grid().node_of(main_process(driver)[0].pid))
    lab.now()
    return driver.find_element("id", "buy")


def start_on_killed_node(lab: GridLab) -> object:
    """Want a session while the hub still believes in nodes that are dead."""
    grid = lab.grid(whole=False)
    for node in grid.nodes:
        _end(node)
    lab.now()
    return connect(grid)


def kill_hub(kind: str) -> Any:
    """Return a fault that kills a hub in the middle of a session."""

    def strike(lab: GridLab) -> object:
        driver = lab.browser(kind)
        _end((lab.grid() if kind == "grid" else lab.standalone()).hub)
        lab.now()
        return driver.find_element("id", "buy")

    return strike


# Why there is no session to be had


def want_unknown(kind: str) -> Any:
    """Return a fault: a browser is wanted that no node offers."""

    def strike(lab: GridLab) -> object:
        grid = lab.grid() if kind == "grid" else lab.standalone()
        lab.now()
        return connect(grid, webdriver.EdgeOptions())

    return strike


def take_all_slots(lab: GridLab) -> object:
    """Want one session more than there are slots, and wait until the request times out."""
    lab.browser("standalone")
    while not lab.standalone().is_full():
        lab.kept.append(lab.starts["standalone"]())
    lab.afterwards.append(lab.release)
    lab.now()
    return connect(lab.standalone())


def start_slowly(lab: GridLab) -> object:
    """Want a session of a grid with a free slot, where a browser needs long to start."""
    grid = lab.standalone()
    program = lab.folder / "slow-browser"
    program.write_text(f'#!/bin/sh\nsleep {3 * lab.queue_s:.0f}\nexec chromium "$@"\n', "utf-8")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    lab.now()
    return connect(grid, binary=str(program))


def drain(lab: GridLab) -> object:
    """Want a session of a grid whose only node takes no more; the one it has works on."""
    driver = lab.browser("standalone")
    grid = lab.standalone()
    grid.drain()
    until(lambda: not grid.nodes_up())
    assert driver.title == "Shop"
    lab.now()
    return connect(grid)


def stop_hub(lab: GridLab) -> object:
    """Stop a hub that is known to answer, and want a session of it."""
    lab.browser("grid")
    grid = lab.grid()
    grid.hub.send_signal(signal.SIGSTOP)
    lab.afterwards.append(lambda: grid.hub.send_signal(signal.SIGCONT))
    lab.now()
    return connect(grid)


def _end(part: subprocess.Popen[bytes]) -> None:
    part.kill()
    part.wait(60)


def _dead(part: subprocess.Popen[bytes]) -> bool:
    return part.poll() is not None


_row = functools.partial(Fault, browser="grid", infrastructure=True)
_fatal = functools.partial(_row, spends=True, broken=True)
_lonely = functools.partial(_row, browser="standalone", layer="grid")

GRID = (
    _fatal("browser killed", kill(main_process, "grid"), ("browser",), layer="browser",
          evidence={"grid": "ok", "session": "dead"}),
    _fatal("renderer killed", kill(renderers, "grid"), ("browser",), layer="browser",
          evidence={"grid": "ok", "session": "crashed"}),
    _fatal("tab crashed (DevTools)", crash_tab, ("browser",), layer="browser",
          evidence={"grid": "ok", "session": "crashed"}),
    _row("page computes for ever", never_idle, ("page",), infrastructure=False, spends=True,
         evidence={"grid": "ok", "session": "silent", "renderer_process": "busy"}),
    _row("tab stopped", stop_tab, ("browser",), layer="browser", spends=True, broken=True,
         evidence={"grid": "ok", "session": "silent", "renderer_process": "unasked"}),
    _row("graphics killed", lose_graphics, ("gpu",),
         evidence={"grid": "ok", "session": "ok", "gpu_process": "alive"}),
    _fatal("driver killed", kill(driver_on_node, "grid"), ("driver",), layer="driver",
          evidence={"grid": "ok", "session": "refused", "driver_status": "refused"}),
    _row("browser nobody has", want_unknown("grid"), ("test_code",), infrastructure=False,
         layer="test-code", evidence={"grid": "misfit"}),
    _row("hub stopped at start", stop_hub, ("coordinator",), layer="grid",
         evidence={"grid": "silent"}),
    _fatal("node killed", kill_node, ("worker",), layer="grid",
          evidence={"grid": "ok", "session": "refused", "node": "refused"}),
    _row("node killed at start", start_on_killed_node, ("worker",), layer="grid", spends=True,
         evidence={"grid": "free"}),
    _row("hub killed", kill_hub("grid"), ("coordinator",), layer="grid", spends=True,
         evidence={"grid": "refused", "latch": "connection"}),
    _lonely("browser nobody has", want_unknown("standalone"), ("test_code",),
            infrastructure=False, layer="test-code", evidence={"grid": "misfit"}),
    _lonely("browser slow to start", start_slowly, ("coordinator",), evidence={"grid": "free"}),
    _lonely("all slots taken", take_all_slots, ("coordinator",), evidence={"grid": "busy"}),
    _lonely("driver killed", kill(driver_on_node, "standalone"), ("driver",), layer="driver",
            spends=True, evidence={"session": "refused", "driver_status": "refused"}, broken=True),
    _lonely("node drained", drain, ("coordinator",), spends=True, evidence={"grid": "empty"}),
    _lonely("grid killed", kill_hub("standalone"), ("coordinator",), spends=True,
            evidence={"grid": "refused", "latch": "connection"}),
)  # fmt: skip
