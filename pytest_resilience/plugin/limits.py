"""Puts together what limits the browsers of a run, where there is anything to limit.

Invariant: a process alone, without a limit set, keeps no slots at all; with xdist all workers of
this machine share one folder, which the controller makes and removes.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from pytest_resilience.config import Settings
from pytest_resilience.plugin import crowd
from pytest_resilience.plugin.breakers import TerminalAnnouncer
from pytest_resilience.plugin.environment import BrowserEnvironment
from pytest_resilience.plugin.faults import FaultReporter
from pytest_resilience.plugin.giveback import GiveBack
from pytest_resilience.plugin.hold import Announcer
from pytest_resilience.plugin.mending import CommandRetries
from pytest_resilience.plugin.session import SessionReport
from pytest_resilience.plugin.sink import HookedSink, SystemClock
from pytest_resilience.plugin.timeouts import TestTimeouts
from pytest_resilience.plugin.turnstile import Turnstile
from pytest_resilience.store.lodging import Lodging
from pytest_resilience.store.slots import Slots

#: In a worker's input: the folder of the run's slots, and when the run began.
_PLACE, _BEGUN = "resilience_slots", "resilience_slots_begun"
#: Name of the controller's part.
PART = "resilience-slots"
#: Seconds between two lines of a worker about what it waits for.
_REPEAT_S = 15.0


class RunSlots:
    """The folder of a run's slots, and what became of them."""

    def __init__(self, settings: Settings, config: pytest.Config) -> None:
        self._cap = settings.max_browsers
        # Not where the history is: that may be on another machine's disk.
        self._lodging = Lodging()
        self.folder = self._lodging.path / "slots"
        self.begun = time.monotonic()
        self._announcer = TerminalAnnouncer(config)
        self._workers = 1

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_setupnodes(self, specs: Sequence[Any]) -> None:
        """Note how many workers there are to begin with."""
        self._workers = len(specs)

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Tell a worker about to start where the slots are, if it is on this machine."""
        if getattr(node.gateway.spec, "popen", False):
            node.workerinput[_PLACE] = str(self.folder)
            node.workerinput[_BEGUN] = self.begun

    def heard(self, worker: str, said: Mapping[str, Any]) -> None:
        """Show what a worker waits for."""
        text = f"{worker}: {said['text']}"
        if said["done"]:
            self._announcer.done(text)
        else:
            self._announcer.waiting(f"{worker} {said['about']}", text)

    def worker_ran_short(self, sink: HookedSink) -> None:
        """A worker was killed for lack of memory, and cannot say so itself."""
        seen = crowd.Crowd(
            Slots(self.folder),
            cap=self._cap,
            workers=self._workers,
            clock=SystemClock(),
            sink=sink,
            worker="controller",
            begun=self.begun,
            pressed=_memory_is_short,
        )
        seen.begins()
        seen.ended(failed=True)

    def told(self) -> dict[str, Any]:
        """Return how many browsers were used over time; see `crowd.told`."""
        return crowd.told(Slots(self.folder), self._cap)

    def pytest_unconfigure(self) -> None:
        """Leave nothing behind."""
        self._lodging.remove()


def share(
    config: pytest.Config, settings: Settings, report: SessionReport, sink: HookedSink
) -> None:
    """Let all processes of a run share slots, and `report` tell of them."""
    slots = RunSlots(settings, config)
    config.pluginmanager.register(slots, PART)
    report.concurrency = slots.told
    journeys: Any = config.pluginmanager.get_plugin("resilience-journeys")
    losses: Any = config.pluginmanager.get_plugin("resilience-losses")
    if journeys is not None and losses is not None:
        journeys.on_said = slots.heard
        losses.on_oom = lambda: slots.worker_ran_short(sink)


class WorkerAnnouncer:
    """Lets the controller say on its terminal what a worker waits for; see `hold.Announcer`."""

    def __init__(self, environment: BrowserEnvironment) -> None:
        self._environment = environment
        self._last = float("-inf")

    def waiting(self, about: str, text: str) -> None:
        """See `hold.Announcer`."""
        if time.monotonic() - self._last >= _REPEAT_S:
            self._last = time.monotonic()
            self._say(about, text, done=False)

    def done(self, text: str) -> None:
        """See `hold.Announcer`."""
        self._last = float("-inf")
        self._say("", text, done=True)

    def _say(self, about: str, text: str, *, done: bool) -> None:
        if self._environment.station is not None:
            self._environment.station.say({"about": about, "text": text, "done": done})


def machine_folder() -> Path:
    """Return where the slots of all runs of this user on this machine are.

    Not in the directory for temporary files that the environment names: that may differ from
    run to run.
    """
    usual = Path("/tmp")
    base = usual if os.access(usual, os.W_OK) else Path(tempfile.gettempdir())
    return base / f"pytest-resilience-{os.getuid()}" / "browsers"


def attend(
    config: pytest.Config,
    settings: Settings,
    environment: BrowserEnvironment,
    commands: CommandRetries,
    sink: HookedSink,
    faults: FaultReporter,
    worker: str,
) -> None:
    """Let browsers of this process in one by one, if it shares slots with others."""
    given: Mapping[str, Any] = getattr(config, "workerinput", {})
    own: RunSlots | None = config.pluginmanager.get_plugin(PART)
    place = given.get(_PLACE) or (str(own.folder) if own is not None else "")
    if not place and settings.max_browsers is None:
        return
    clock = SystemClock()
    told = {"worker": worker, "project": config.rootpath.name}
    try:
        # A worker that came from another machine shares what there is here.
        slots = Slots(Path(place) if place else _own_folder(config), told=told)
        machine = None
        if settings.max_browsers is not None:
            machine = Slots(machine_folder(), told=told)
    except OSError as error:
        faults.warn(f"the number of browsers is not limited: {error}")
        return
    turnstile = Turnstile(
        crowd.Crowd(
            slots,
            cap=settings.max_browsers,
            workers=int(given.get("workercount", 1)),
            clock=clock,
            sink=sink,
            worker=worker,
            begun=given.get(_BEGUN) or (own.begun if own is not None else clock.monotonic()),
            pressed=_memory_is_short,
        ),
        machine,
        clock=clock,
        max_wait_s=settings.max_wait,
        announcer=_announcer(config, environment, worker),
        timeouts=TestTimeouts(config),
        item=lambda: commands.case.item if commands.case is not None else None,
        warn=faults.warn,
    )
    environment.limit(turnstile)
    station = environment.station
    part = GiveBack(turnstile, environment.keeper, lambda: station is not None and station.mixes)
    turnstile.on_first = lambda: config.pluginmanager.register(part, "resilience-give-back")


def _own_folder(config: pytest.Config) -> Path:
    lodging = Lodging()
    config.add_cleanup(lodging.remove)
    return lodging.path / "slots"


def _announcer(config: pytest.Config, environment: BrowserEnvironment, worker: str) -> Announcer:
    return TerminalAnnouncer(config) if worker == "main" else WorkerAnnouncer(environment)


def _memory_is_short() -> bool:
    """Return whether the machine, or what we are confined to on it, is short of memory now."""
    from pytest_resilience.browser.host import Host

    return any(text.startswith("memory") for text in Host().memory_shortages())
