"""Slots that several processes share, and that the kernel frees when one of them is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pytest_resilience.store.slots import Claim, Slots

HOLD = """
import sys, time
from pathlib import Path
from pytest_resilience.store.slots import Slots

slots = Slots(Path(sys.argv[1]), told={"worker": "gw7"})
with slots.door():
    claims = [slots.take() if kind == "slot" else slots.queue() for kind in sys.argv[2:]]
print("holding", flush=True)
while True:
    for claim in claims:
        claim.touch()
    time.sleep(0.1)
"""


@pytest.fixture
def slots(tmp_path: Path) -> Slots:
    return Slots(tmp_path / "slots")


@pytest.fixture
def other(slots: Slots) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start processes that hold claims of the kinds named."""
    started: list[subprocess.Popen[str]] = []

    def start(*kinds: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(slots.folder), *kinds],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "holding\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def admitted(slots: Slots, limit: int | None, ticket: Claim | None = None) -> bool:
    with slots.door():
        return slots.admits(limit, ticket)


def take(slots: Slots) -> Claim:
    with slots.door():
        return slots.take()


def test_a_slot_counts_until_it_is_given_back(slots: Slots) -> None:
    claim = take(slots)
    assert [holder.pid for holder in slots.taken()] == [os.getpid()]
    claim.release()
    claim.release()
    assert (slots.taken(), claim.is_held) == ([], False)


def test_what_its_holder_says_of_itself_is_known(
    slots: Slots, other: Callable[..., subprocess.Popen[str]]
) -> None:
    process = other("slot")
    (holder,) = slots.taken()
    assert (holder.pid, holder.told["worker"]) == (process.pid, "gw7")


def test_no_more_are_admitted_than_the_limit_allows(
    slots: Slots, other: Callable[..., subprocess.Popen[str]]
) -> None:
    other("slot")
    assert (admitted(slots, 1), admitted(slots, 2), admitted(slots, None)) == (False, True, True)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM], ids=["SIGKILL", "SIGTERM"])
def test_the_slot_of_a_killed_process_is_free_at_once(
    slots: Slots, other: Callable[..., subprocess.Popen[str]], how: signal.Signals
) -> None:
    process = other("slot")
    assert not admitted(slots, 1)
    process.send_signal(how)
    process.wait()
    assert admitted(slots, 1)
    assert [p.name for p in slots.folder.iterdir()] == ["door"], "its file was left"


def test_who_waits_longest_comes_first(
    slots: Slots, other: Callable[..., subprocess.Popen[str]]
) -> None:
    process = other("ticket")
    with slots.door():
        ticket = slots.queue()
    assert not admitted(slots, 5, ticket), "somebody has waited longer"
    assert not admitted(slots, 5), "nobody may push in"
    process.kill()
    process.wait()
    assert admitted(slots, 5, ticket)
    ticket.release()


def test_one_that_waits_and_does_not_look_is_not_waited_for(
    slots: Slots, other: Callable[..., subprocess.Popen[str]]
) -> None:
    process = other("ticket")
    assert not admitted(slots, 1)
    process.send_signal(signal.SIGSTOP)
    # Until it has stopped it goes on looking.
    assert os.WIFSTOPPED(os.waitpid(process.pid, os.WUNTRACED)[1])
    long_ago = time.time() - 60
    (ticket,) = slots.waiting()
    os.utime(slots.folder / ticket.name, (long_ago, long_ago))
    assert admitted(slots, 1)


class TestHoldAndWait:
    """A limit never makes those wait for ever who hold what they wait for."""

    def test_a_second_slot_of_the_only_holder_is_admitted(self, slots: Slots) -> None:
        claim = take(slots)
        assert admitted(slots, 1)
        claim.release()

    def test_it_waits_while_somebody_else_may_give_one_back(
        self, slots: Slots, other: Callable[..., subprocess.Popen[str]]
    ) -> None:
        claim = take(slots)
        other("slot")
        assert not admitted(slots, 2)
        claim.release()

    def test_the_oldest_is_admitted_when_all_who_hold_one_wait(
        self, slots: Slots, other: Callable[..., subprocess.Popen[str]]
    ) -> None:
        claim = take(slots)
        with slots.door():
            ticket = slots.queue()
        other("slot", "ticket")
        assert admitted(slots, 2, ticket)
        ticket.release()
        claim.release()

    def test_one_that_holds_none_is_not(
        self, slots: Slots, other: Callable[..., subprocess.Popen[str]]
    ) -> None:
        other("slot")
        with slots.door():
            ticket = slots.queue()
        assert not admitted(slots, 1, ticket)
        ticket.release()


def test_many_processes_never_take_more_than_the_limit(slots: Slots, tmp_path: Path) -> None:
    """Eight processes take and give back at random; none ever sees more than three taken."""
    program = """
import random, sys, time
from pathlib import Path
from pytest_resilience.store import slots as module
from pytest_resilience.store.slots import Slots

# Whoever is served last of eight may wait long on a busy machine.
module.PATIENCE_S = 60.0
slots, chance, most, got = Slots(Path(sys.argv[1])), random.Random(int(sys.argv[2])), 0, 0
deadline = time.monotonic() + 240
while got < 10 and time.monotonic() < deadline:
    claim = None
    with slots.door():
        if slots.admits(3):
            claim = slots.take()
            most = max(most, len(slots.taken()))
    time.sleep(chance.random() * 0.004)
    if claim is not None:
        got += 1
        claim.release()
print(most, got)
"""
    started = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(slots.folder), str(seed)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        for seed in range(8)
    ]
    told = [process.communicate(timeout=300)[0].split() for process in started]
    assert max(int(most) for most, _got in told) <= 3
    assert [got for _most, got in told] == ["10"] * 8


def test_a_forked_copy_neither_keeps_nor_gives_back_what_its_parent_holds(slots: Slots) -> None:
    claim = take(slots)
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(writing)
        claim.release()
        os.read(reading, 1)
        os._exit(0)
    os.close(reading)
    try:
        assert len(slots.taken()) == 1
        claim.release()
        assert slots.taken() == []
    finally:
        os.close(writing)
        os.waitpid(pid, 0)


class TestState:
    """What the processes know together."""

    def test_it_is_what_was_kept_last(self, slots: Slots) -> None:
        assert (slots.state(), slots.state_mark()) == (None, None)
        slots.keep({"limit": 4})
        before = slots.state_mark()
        slots.keep({"limit": 3})
        assert slots.state() == {"limit": 3}
        assert slots.state_mark() != before

    def test_notes_are_read_in_order_without_torn_ones(self, slots: Slots) -> None:
        assert slots.notes() == []
        slots.note({"at": 1})
        slots.note({"at": 2})
        with (slots.folder / "log.jsonl").open("a") as file:
            file.write('{"at": ')
        assert slots.notes() == [{"at": 1}, {"at": 2}]


def test_a_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(PermissionError, match="belongs to somebody else"):
        Slots(tmp_path / "link")


def test_a_door_that_is_kept_shut_is_told(slots: Slots, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_resilience.store.slots.PATIENCE_S", 0.01)
    with slots.door(), pytest.raises(TimeoutError, match="kept locked"), slots.door():
        pass
