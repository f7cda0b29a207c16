"""A merge in a process of its own: what it does, and that nothing depends on it."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import psutil
import pytest

from pytest_resilience.exceptions import StoreError
from pytest_resilience.store import database
from pytest_resilience.store.history import History
from pytest_resilience.store.merger import Merger

from .samples import merged

Fill = Callable[..., Path]


@pytest.fixture
def merger(history: History) -> Iterator[Merger]:
    merger = Merger(history.path)
    yield merger
    merger.close()
    assert children() == []


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a merge in this very process be an error."""

    def fail(*_args: object, **_keywords: object) -> None:
        raise AssertionError("merged here")

    monkeypatch.setattr(History, "merge", fail)


def children() -> list[psutil.Process]:
    """Return the processes that merge for this one."""
    children = psutil.Process().children()
    return [child for child in children if any("store.merger" in a for a in arguments(child))]


def arguments(child: psutil.Process) -> list[str]:
    """Return the command line of a child, nothing of one that has ended."""
    with contextlib.suppress(psutil.NoSuchProcess):
        # One that is just becoming another program has none yet.
        while not (found := child.cmdline()):
            time.sleep(0.01)
        return found
    return []


@pytest.mark.usefixtures("elsewhere")
def test_the_other_process_takes_the_spools_in(
    merger: Merger, history: History, filled: Fill
) -> None:
    merger.prepare()
    spool = filled(("attempt", {"nodeid": "a"}), ("attempt", {"nodeid": "b"}))
    merger.begin()
    result = merger.finish()
    assert (result.records, result.spools, result.moved_aside) == (2, 1, None)
    assert not spool.exists()
    assert merged(history) == 2


@pytest.mark.usefixtures("elsewhere")
def test_a_damaged_history_is_named_as_by_a_merge_here(
    merger: Merger, history: History, filled: Fill
) -> None:
    history.path.write_bytes(b"\0" * 8 + b"DUCK" + b"\0" * 5_000)
    filled(("attempt", {"nodeid": "a"}))
    merger.prepare()
    merger.begin()
    moved = merger.finish().moved_aside
    assert moved is not None
    assert moved.name.startswith("history.duckdb.corrupt-")
    assert moved.exists()


@pytest.mark.usefixtures("elsewhere")
def test_what_is_wrong_with_the_file_is_told_in_the_same_words(
    merger: Merger, history: History, filled: Fill
) -> None:
    history.path.write_text("a shopping list, kept under a strange name")
    spool = filled(("attempt", {"nodeid": "a"}))
    merger.prepare()
    merger.begin()
    with pytest.raises(StoreError, match="is no DuckDB database and was left as it is"):
        merger.finish()
    assert spool.exists()


def test_what_was_made_ready_serves_the_next_merge(
    history: History, filled: Fill, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One engine for both is why a session's end is short; a later merge has one of its own."""
    engine = mock.Mock(wraps=database.engine)
    monkeypatch.setattr(database, "engine", engine)
    history.prepare()
    history.merge([filled(("attempt", {"nodeid": "a"}))])
    assert engine.call_count == 1
    history.merge([filled(("attempt", {"nodeid": "b"}))])
    assert engine.call_count == 2
    assert merged(history) == 2


def test_a_history_that_was_damaged_since_it_was_made_ready_makes_room(
    history: History, filled: Fill
) -> None:
    history.prepare()
    history.path.write_bytes(b"\0" * 8 + b"DUCK" + b"\0" * 5_000)
    result = history.merge([filled(("attempt", {"nodeid": "a"}))])
    assert result.moved_aside is not None
    assert merged(history) == 1


def test_without_preparation_the_merge_is_made_here(
    merger: Merger, history: History, filled: Fill
) -> None:
    filled(("attempt", {"nodeid": "a"}))
    merger.begin()
    assert merger.finish().records == 1
    assert merged(history) == 1


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_process_that_was_killed_is_stood_in_for(
    merger: Merger, history: History, filled: Fill, when: str
) -> None:
    """Killed before it is told to merge or right after: each record is in, once."""
    merger.prepare()
    filled(("attempt", {"nodeid": "a"}))
    (child,) = children()
    if when == "before":
        child.kill()
        child.wait()
    merger.begin()
    if when == "after":
        child.kill()
    merger.finish()
    assert merged(history) == 1


def test_a_process_that_does_not_answer_is_ended(history: History, filled: Fill) -> None:
    merger = Merger(history.path, limit_s=0.2)
    merger.prepare()
    filled(("attempt", {"nodeid": "a"}))
    (child,) = children()
    os.kill(child.pid, signal.SIGSTOP)
    merger.begin()
    assert merger.finish().records == 1
    assert children() == []


@pytest.mark.usefixtures("elsewhere")
def test_a_process_that_is_told_nothing_ends_with_its_parent(merger: Merger, filled: Fill) -> None:
    """What the parent holds of it is closed when the parent dies; it merges nothing then."""
    merger.prepare()
    spool = filled(("attempt", {"nodeid": "a"}))
    (child,) = children()
    assert merger._process is not None
    assert merger._process.stdin is not None
    merger._process.stdin.close()
    assert merger._process.wait(30) == 0
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
    assert spool.exists()


def test_a_python_that_cannot_be_started_is_done_without(
    merger: Merger, history: History, filled: Fill, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    merger.prepare()
    filled(("attempt", {"nodeid": "a"}))
    merger.begin()
    assert merger.finish().records == 1
