"""The faults of parts that are stopped while a command runs: what the watchdog has to notice.

Invariant: a part goes on when its fault has been diagnosed, whatever was made of it.
"""

from __future__ import annotations

import contextlib
import functools
import signal
from collections.abc import Callable
from typing import Any

import psutil

from tests.acceptance.grid import acquaint
from tests.acceptance.grid_faults import GridLab, driver_on_node
from tests.acceptance.live import Fault, Lab
from tests.acceptance.victims import (
    driver_process,
    ended,
    graphics_process,
    is_stopped,
    main_process,
    renderers,
    signalled,
    until,
)


def visit(driver: Any, lab: Lab) -> object:
    """Open the home page, with no time-out of the user's own, which would be waited for."""
    session = lab.registry.session_of(driver)
    assert session is not None
    session.timeouts.clear()
    return driver.get(lab.app.url)


def draw(driver: Any, _lab: Lab) -> object:
    """Take a screenshot, which needs the graphics process."""
    return driver.get_screenshot_as_png()


def stop(
    which: Callable[[Any], list[psutil.Process]],
    kind: str = "chrome",
    command: Callable[[Any, Lab], object] = visit,
) -> Callable[[Lab], object]:
    """Return a fault that stops processes and then gives a command."""

    def strike(lab: Lab) -> object:
        driver = lab.browser(kind)
        victims = which(driver)
        return _stopped(lab, victims, functools.partial(command, driver, lab))

    return strike


def stop_behind_grid(
    which: Callable[[GridLab, Any], list[psutil.Process]],
) -> Callable[[GridLab], object]:
    """Return a fault that stops a part of a grid and then gives a command."""

    def strike(lab: GridLab) -> object:
        driver = lab.browser("grid")
        session = lab.registry.session_of(driver)
        assert session is not None
        acquaint(lab.registry, session)
        return _stopped(lab, which(lab, driver), functools.partial(visit, driver, lab))

    return strike


def _stopped(lab: Lab, victims: list[psutil.Process], command: Callable[[], object]) -> object:
    lab.afterwards += [functools.partial(_resume, victim) for victim in victims]
    signalled(victims, signal.SIGSTOP)
    until(lambda: all(ended(victim) or is_stopped(victim) for victim in victims))
    lab.now()
    return command()


def _resume(process: psutil.Process) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.resume()


def _hub(lab: GridLab, _driver: Any) -> list[psutil.Process]:
    return [psutil.Process(lab.grid().hub.pid)]


def _node(lab: GridLab, driver: Any) -> list[psutil.Process]:
    return [psutil.Process(lab.grid().node_of(main_process(driver)[0].pid).pid)]


_row = functools.partial(Fault, infrastructure=True, spends=True, broken=True)
_fox = functools.partial(_row, browser="firefox")
_far = functools.partial(_row, browser="grid")

#: On this machine.
STOPPED = (
    _row("browser stopped", stop(main_process), ("browser",), layer="browser",
         evidence={"browser_process": "stopped"}),
    _row("renderer stopped", stop(renderers), ("browser",), layer="browser",
         evidence={"renderer_process": "stopped"}),
    _row("graphics stopped", stop(graphics_process, command=draw), ("gpu",), layer="browser",
         evidence={"gpu_process": "stopped"}),
    _row("driver stopped", stop(driver_process), ("driver",), layer="driver",
         evidence={"driver_process": "stopped"}),
    _fox("browser stopped", stop(main_process, "firefox"), ("browser",), layer="browser",
         evidence={"browser_process": "stopped"}),
    _fox("driver stopped", stop(driver_process, "firefox"), ("driver",), layer="driver",
         evidence={"driver_process": "stopped"}),
)  # fmt: skip

#: Behind a grid, where only what they answer can be seen.
STOPPED_BEHIND_GRID = (
    _far("browser stopped", stop_behind_grid(lambda _, driver: main_process(driver)),
         ("browser",), layer="browser", evidence={"devtools": "silent"}),
    _far("driver stopped", stop_behind_grid(lambda _, driver: driver_on_node(driver)),
         ("driver",), layer="driver", evidence={"driver_status": "silent"}),
    _far("node stopped", stop_behind_grid(_node), ("worker",), layer="grid",
         evidence={"node": "silent"}),
    _far("hub stopped", stop_behind_grid(_hub), ("coordinator",), layer="grid",
         evidence={"grid": "silent"}, broken=False),
)  # fmt: skip
