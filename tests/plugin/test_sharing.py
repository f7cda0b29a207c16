"""Who shares circuits with whom, and what the user hears when that comes to an end."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import execnet
import pytest

from pytest_resilience.config import Settings
from pytest_resilience.plugin import sharing
from pytest_resilience.plugin.faults import FaultReporter
from pytest_resilience.plugin.sharing import SharedCircuits, WorkerCells


@pytest.fixture
def faults(pytestconfig: pytest.Config) -> FaultReporter:
    return FaultReporter(pytestconfig)


@pytest.fixture
def shared(faults: FaultReporter) -> Iterator[SharedCircuits]:
    shared = SharedCircuits(Settings(), "run", faults)
    yield shared
    shared.pytest_unconfigure()


def node(spec: str, *, known: bool = True) -> Any:
    parts = {"process_from_remote": print, "sendcommand": print} if known else {}
    gateway = SimpleNamespace(spec=execnet.XSpec(spec), id="gw1")
    return SimpleNamespace(gateway=gateway, workerinput={}, **parts)


@pytest.mark.parametrize(
    ("spec", "opens", "asks"),
    [
        ("popen", True, False),
        ("popen//python=python3.12", True, False),
        ("popen//via=far", False, True),
        ("ssh=far", False, True),
        ("socket=far:8888", False, True),
    ],
)
def test_a_worker_opens_the_file_or_asks(
    spec: str, opens: bool, asks: bool, shared: SharedCircuits, faults: FaultReporter
) -> None:
    """Whoever runs on another machine cannot open it."""
    worker = node(spec)
    shared.pytest_configure_node(worker)
    given = worker.workerinput
    assert (bool(given["resilience_live"]), given["resilience_asks"]) == (opens, asks)
    assert given["resilience_begun"] > 0
    assert faults.messages == []


def test_an_unknown_xdist_is_told_of(shared: SharedCircuits, faults: FaultReporter) -> None:
    worker = node("ssh=far", known=False)
    shared.pytest_configure_node(worker)
    assert not worker.workerinput["resilience_asks"]
    (told,) = faults.messages
    assert told.startswith("workers on other machines keep circuits of their own")


def test_the_user_hears_of_a_worker_that_shares_no_longer(
    shared: SharedCircuits, faults: FaultReporter
) -> None:
    """From the worker's own words, whatever has put an end to it."""
    config: Any = SimpleNamespace(workeroutput={})
    cells: Any = SimpleNamespace(failure="the disk is full")
    session: Any = SimpleNamespace(config=config)
    WorkerCells(cells).pytest_sessionfinish(session)
    worker = node("popen")
    worker.workeroutput = config.workeroutput
    shared.pytest_testnodedown(worker)
    assert faults.messages == ["gw1: the disk is full"]


def test_a_process_that_was_told_nothing_has_its_own() -> None:
    config: Any = SimpleNamespace()
    assert sharing.cells_of(config, "run") is None
    assert sharing.clock_of(None)() > 0
