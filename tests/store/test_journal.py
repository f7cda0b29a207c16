"""Journals of runs: what they set out to do, whether they live, and what came of it."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pytest_resilience.core import events
from pytest_resilience.store.checkpoints import CheckpointFiles
from pytest_resilience.store.history import History
from pytest_resilience.store.journal import KEPT, Entry, Journals, finished, wait_for_writers
from pytest_resilience.store.spool import Spool

HOLDER = """
import sys, time
from pathlib import Path
sys.path[:] = {path!r}
from pytest_resilience.store.journal import Entry, Journals
import os
Journals(Path({db!r})).write(Entry("s", "s", (), 7, os.getpid(), (), ("a",)))
print("held", flush=True)
time.sleep(60)
"""


def entry(name: str, at: int = 1, nodeids: tuple[str, ...] = ("a",), pid: int = 0) -> Entry:
    return Entry(name, name, (), at, pid, ("-q",), nodeids)


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return tmp_path / "history.duckdb"


def test_entries_come_back_newest_first(db: Path) -> None:
    journals = Journals(db)
    for name, at in (("one", 1), ("three", 3), ("two", 2)):
        journals.write(entry(name, at))
    (db.parent / "resume" / "damaged.json").write_text("{")
    (db.parent / "resume" / "newer.json").write_text('{"version": 99}')
    assert [e.session_id for e in journals.entries()] == ["three", "two", "one"]
    assert journals.entries()[2] == entry("one", 1)
    journals.close()


def test_a_run_lives_as_long_as_its_process(db: Path) -> None:
    """And is dead at once when that is killed."""
    code = HOLDER.format(path=sys.path, db=str(db))
    holder = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    [found] = Journals(db).entries()
    assert Journals(db).lives(found)
    assert not Journals(db).claim("s")
    holder.kill()
    holder.wait()
    holder.stdout.close()
    assert not Journals(db).lives(found)


def test_a_forked_child_does_not_keep_it_alive(db: Path) -> None:
    """Such as a server that a suite has started and nobody has ended."""
    journals = Journals(db)
    journals.write(entry("s"))
    context = multiprocessing.get_context("fork")
    event = context.Event()
    child = context.Process(target=event.wait, args=(60,))
    child.start()
    try:
        journals.close()
        assert not journals.lives(journals.entries()[0])
    finally:
        event.set()
        child.join()


def test_our_own_run_lives_and_asking_does_not_end_it(db: Path) -> None:
    journals = Journals(db)
    journals.write(entry("s", pid=os.getpid()))
    assert Journals(db).lives(journals.entries()[0])
    code = HOLDER.format(path=sys.path, db=str(db)).partition("Journals(Path")[0]
    code += f"print(Journals(Path({str(db)!r})).claim('s'))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert told.stdout == b"False\n"
    journals.close()


def test_a_complete_run_outdates_what_it_has_run_itself(db: Path) -> None:
    """A broken run that had other things to do can still be resumed, one of the newest few."""
    old = Journals(db)
    for name, nodeids in (("same", ("a",)), ("other", ("z",)), ("part", ("a", "b"))):
        old.write(entry(name, nodeids=nodeids))
        CheckpointFiles(db.parent / "checkpoints", name).write({"nodeid": "a", "state": 1})
    old.close()
    Journals(db).clean(["a", "b", "c"])
    assert [e.session_id for e in Journals(db).entries()] == ["other"]
    assert [p.name for p in (db.parent / "checkpoints").iterdir()] == ["other"]
    for number in range(KEPT + 3):
        old.write(entry(f"n{number}", at=10 + number, nodeids=("z",)))
    old.close()
    Journals(db).clean(["a"])
    assert len(Journals(db).entries()) == KEPT
    Journals(db).clean(["z"])
    assert not (db.parent / "resume").exists()


def spool(db: Path, sid: str, worker: str = "main") -> Spool:
    return Spool(db.parent / "spool", session_id=sid, worker=worker, now_us=lambda: 5)


def told(nodeid: str, verdict: str = "passed", attempts: int = 1) -> list[tuple[str, Any]]:
    made = [
        (events.ATTEMPT, {"nodeid": nodeid, "number": n + 1, "outcome": "passed", "started_us": n})
        for n in range(attempts)
    ]
    result = {"nodeid": nodeid, "verdict": verdict, "attempts": attempts, "reason": "why"}
    return [*made, (events.TEST_RESULT, result)]


def test_verdicts_are_found_wherever_they_are(db: Path) -> None:
    """In spools of killed workers, and in the history, into which another run has taken some."""
    first, second = spool(db, "s", "gw0"), spool(db, "s", "gw1")
    first.emit_many(told("a", "recovered", 2))
    first.emit(events.ATTEMPT, {"nodeid": "unfinished", "outcome": "rerun"})
    first.close()
    History(db).merge([first.path])
    second.emit_many(told("b", "failed"))
    other = spool(db, "other")
    other.emit_many(told("c"))
    found = {result.nodeid: result for result in finished(db, ["s"])}
    assert {nodeid: r.verdict for nodeid, r in found.items()} == {"a": "recovered", "b": "failed"}
    assert [attempt.number for attempt in found["a"].attempts] == [1, 2]
    assert all(result.kept and result.reason == "why" for result in found.values())
    for each in (second, other):
        each.close()


def test_of_several_sessions_the_newest_has_the_last_word(db: Path) -> None:
    for sid, verdict in (("old", "failed"), ("new", "passed")):
        one = spool(db, sid)
        one.emit_many(told("a", verdict))
        one.close()
    [result] = finished(db, ["new", "old"])
    assert result.verdict == "passed"
    [result] = finished(db, ["old"])
    assert result.verdict == "failed"


def test_a_torn_line_is_passed_over(db: Path) -> None:
    one = spool(db, "s")
    one.emit_many([*told("a"), *told("b")])
    one.close()
    data = one.path.read_bytes()
    one.path.write_bytes(data[:-10])
    assert [result.nodeid for result in finished(db, ["s"])] == ["a"]


def test_writers_are_waited_for_no_longer_than_told(db: Path) -> None:
    one = spool(db, "s")
    one.emit("x", {})
    waits: list[float] = []
    folder = db.parent / "spool"
    assert not wait_for_writers(folder, ["s"], 0.05, waits.append)
    assert waits
    assert wait_for_writers(folder, ["other"], 0.0, waits.append)

    def end(_seconds: float) -> None:
        one.close()

    assert wait_for_writers(folder, ["s"], 30.0, end)
