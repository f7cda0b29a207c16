"""Process trees, tried on small trees of Python processes."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from pytest_resilience.browser import processes
from pytest_resilience.browser.processes import ProcessId
from pytest_resilience.core.evidence import ALIVE, GONE, LIFELESS, STOPPED, ZOMBIE

SLEEPER = "import time; time.sleep(60)"
PARENT = (
    "import subprocess, sys, time\n"
    f"child = subprocess.Popen([sys.executable, '-c', {SLEEPER!r}, *sys.argv[1:]])\n"
    "print(child.pid, flush=True)\n"
    "time.sleep(60)"
)

Start = Callable[..., "subprocess.Popen[str]"]
Eventually = Callable[..., bool]


@pytest.fixture
def start() -> Iterator[Start]:
    """Return a function that starts Python processes in groups of their own."""
    started: list[subprocess.Popen[str]] = []

    def run(code: str, *arguments: str) -> subprocess.Popen[str]:
        child = subprocess.Popen(
            [sys.executable, "-c", code, *arguments],
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(child)
        return child

    yield run
    for child in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.communicate()


def identity(pid: int) -> ProcessId:
    process = processes.identify(pid)
    assert process is not None
    return process


def test_a_running_process_is_alive(start: Start) -> None:
    assert processes.state(identity(start(SLEEPER).pid)) == ALIVE


def test_a_stopped_process_is_stopped(start: Start, eventually: Eventually) -> None:
    process = identity(start(SLEEPER).pid)
    os.kill(process.pid, signal.SIGSTOP)
    assert eventually(lambda: processes.state(process) == STOPPED)


def test_a_killed_child_is_a_zombie_until_its_status_is_taken_and_gone_after(
    start: Start, eventually: Eventually
) -> None:
    child = start(SLEEPER)
    process = identity(child.pid)
    child.kill()
    assert eventually(lambda: processes.state(process) == ZOMBIE)
    child.wait()
    assert processes.state(process) == GONE


def test_a_pid_with_another_creation_time_is_somebody_else(start: Start) -> None:
    child = start(SLEEPER)
    stranger = identity(child.pid)._replace(created=1.0)
    assert processes.state(stranger) == GONE
    assert processes.family(stranger) == ()
    processes.kill([stranger])
    assert processes.state(identity(child.pid)) == ALIVE


@pytest.mark.parametrize("pid", [None, 0, -1, 2**30])
def test_no_process_has_no_identity(pid: int | None) -> None:
    assert processes.identify(pid) is None


def test_a_family_is_the_root_and_its_descendants(start: Start) -> None:
    parent = start(PARENT)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert [p.pid for p in processes.family(identity(parent.pid))] == [parent.pid, child]


def test_a_group_outlives_its_leader(start: Start) -> None:
    parent = start(PARENT)
    assert parent.stdout is not None
    child = identity(int(parent.stdout.readline()))
    leader = identity(parent.pid)
    assert processes.leads_group(leader)
    parent.kill()
    parent.wait()
    assert processes.group(leader) == (child,)
    assert processes.exterminate(lambda: processes.group(leader)) == ()
    assert processes.state(child) in LIFELESS


def test_a_group_whose_number_was_given_to_another_leader_is_not_ours(start: Start) -> None:
    leader = identity(start(SLEEPER).pid)
    assert processes.group(leader._replace(created=leader.created - 100)) == ()


def test_our_own_process_leads_no_group_of_its_own() -> None:
    assert not processes.leads_group(identity(os.getpid()))


def test_stopped_processes_are_killed_too(start: Start) -> None:
    child = start(SLEEPER)
    process = identity(child.pid)
    os.kill(process.pid, signal.SIGSTOP)
    assert processes.exterminate(lambda: [process]) == ()
    assert child.wait() == -signal.SIGKILL


def test_what_cannot_be_killed_is_returned_in_bounded_time(start: Start) -> None:
    process = identity(start(SLEEPER).pid)
    survivors = processes.exterminate(lambda: [process], wait_s=-1.0)
    assert survivors == (process,)


def test_orphans_are_found_by_an_argument_they_carry(start: Start, eventually: Eventually) -> None:
    token = f"--user-data-dir=/nowhere/{os.getpid()}-profile"
    child = start(SLEEPER, token)
    assert eventually(lambda: [p.pid for p in processes.mentioning(token)] == [child.pid])
    assert processes.mentioning("") == ()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--type=renderer", "--lang=en"], "renderer"),
        (["--type=gpu-process"], "gpu-process"),
        (["-contentproc", "-parentBuildID", "5", "tab"], "renderer"),
        (["-contentproc", "7", "rdd"], "rdd"),
        (["--headless=new"], ""),
    ],
    ids=["chromium-renderer", "chromium-gpu", "firefox-tab", "firefox-other", "main"],
)
def test_helpers_of_browsers_are_known_by_their_arguments(
    start: Start, arguments: list[str], expected: str, eventually: Eventually
) -> None:
    process = identity(start(SLEEPER, *arguments).pid)
    assert eventually(lambda: processes.role(process) == expected)


def test_a_process_that_computes_demands_time_and_an_idle_one_does_not(
    start: Start, eventually: Eventually
) -> None:
    busy, idle = identity(start("while True: pass").pid), identity(start(SLEEPER).pid)

    def outpaces() -> bool:
        return processes.demand_seconds(busy) > 5 * processes.demand_seconds(idle) + 0.2

    assert eventually(outpaces)
    assert processes.demand_seconds(busy._replace(created=1.0)) == 0.0
