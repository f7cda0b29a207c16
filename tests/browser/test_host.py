"""What a machine is short of, read from counters that a test can write."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_resilience.browser import host
from pytest_resilience.browser.host import Host
from pytest_resilience.browser.sessions import DriverSession, SessionRegistry
from pytest_resilience.browser.wire import Wire
from pytest_resilience.core.evidence import Evidence, ProbeResult
from pytest_resilience.core.failures import ExceptionFact

GIB_KIB = 1024 * 1024
MIB = 1024 * 1024
PID = 4242


class Machine:
    """A machine made of files, healthy until something is changed."""

    def __init__(self, folder: Path) -> None:
        self.proc, self.cgroups = folder / "proc", folder / "cgroup"
        self.log = folder / "kmsg"
        for pid in (PID, os.getpid()):
            self.write(f"proc/{pid}/cgroup", "3:pids:/shop\n2:memory:/shop\n")
            self.write(f"proc/{pid}/limits", limits(1024))
            self.descriptors(pid, 10)
        self.meminfo(total=16, available=8)
        self.write("proc/vmstat", "nr_free_pages 1\noom_kill 3\n")
        self.write("proc/loadavg", "0.10 0.20 0.30 1/400 99\n")
        self.write("proc/sys/fs/file-nr", "1000\t0\t100000\n")
        self.write("proc/sys/kernel/threads-max", "10000\n")
        self.write("proc/sys/kernel/pid_max", "32768\n")
        self.write("proc/pressure/memory", "some avg10=0.00\nfull avg10=0.00 avg60=0.00\n")
        self.group("memory", limit_in_bytes=1 << 63, usage_in_bytes=100 * MIB)
        self.write("cgroup/memory/shop/memory.stat", "total_inactive_file 0\n")
        self.write("cgroup/memory/shop/memory.oom_control", "oom_kill_disable 0\noom_kill 0\n")
        self.group("pids", max="max", current=10)

    def write(self, name: str, text: str) -> None:
        path = self.proc.parent / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="ascii")

    def group(self, controller: str, **values: object) -> None:
        for name, value in values.items():
            self.write(f"cgroup/{controller}/shop/{controller}.{name}", f"{value}\n")

    def meminfo(self, *, total: float, available: float) -> None:
        self.write(
            "proc/meminfo",
            f"MemTotal: {int(total * GIB_KIB)} kB\nMemAvailable: {int(available * GIB_KIB)} kB\n",
        )

    def descriptors(self, pid: int, count: int) -> None:
        for number in range(count):
            self.write(f"proc/{pid}/fd/{number}", "")

    def version_2(self, **values: object) -> None:
        """Make it one with control groups of the second version."""
        for pid in (PID, os.getpid()):
            self.write(f"proc/{pid}/cgroup", "0::/shop\n")
        for name, value in values.items():
            self.write(f"cgroup/shop/memory.{name}", f"{value}\n")

    def host(self) -> Host:
        return Host(str(self.proc), str(self.cgroups), str(self.proc), str(self.log))

    def short_of(self, **keywords: Any) -> list[str]:
        """Return what it is said to be short of, apart from the disks of the real machine."""
        found = self.host().shortages(pids=[PID], **keywords)
        return [text for text in found if not text.startswith(("disk", str(self.proc)))]


def limits(descriptors: int) -> str:
    return (
        "Limit                     Soft Limit           Hard Limit           Units     \n"
        "Max processes             96365                96365                processes \n"
        f"Max open files            {descriptors:<21}1048576              files     \n"
    )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_a_healthy_machine_is_short_of_nothing(machine: Machine) -> None:
    before = machine.host().oom_kills(PID)
    assert machine.short_of(oom_kills=before, sluggish=True) == []


def test_a_machine_that_tells_nothing_is_short_of_nothing(tmp_path: Path) -> None:
    """Another system, or a kernel that hides its counters."""
    nothing = str(tmp_path / "nowhere")
    silent = Host(nothing, nothing, nothing, nothing)
    assert silent.oom_kills(PID) == {"": 0}
    found = silent.shortages(pids=[PID], family=[PID], oom_kills={}, sluggish=True)
    assert [text for text in found if not text.startswith("disk")] == []


CASES: dict[str, tuple[Callable[[Machine], None], str]] = {
    "memory": (lambda m: m.meminfo(total=16, available=0.2), "memory: 205 MiB of 16.0 GiB"),
    "memory-small-machine": (lambda m: m.meminfo(total=1, available=0.04), "memory: 41 MiB of"),
    "memory-stalled": (
        lambda m: m.write("proc/pressure/memory", "some avg10=90.00\nfull avg10=60.50 avg60=1\n"),
        "memory: everything waits for it 60 % of the time",
    ),
    "memory-of-group-v1": (
        lambda m: m.group("memory", limit_in_bytes=500 * MIB, usage_in_bytes=490 * MIB),
        "memory: 10 MiB of 500 MiB left to control group shop",
    ),
    "memory-of-group-v2": (
        lambda m: m.version_2(max=500 * MIB, current=490 * MIB, stat="inactive_file 0"),
        "memory: 10 MiB of 500 MiB left to control group shop",
    ),
    "descriptors-of-browser": (
        lambda m: m.write(f"proc/{PID}/limits", limits(10)),
        "descriptors: 10 of 10 used by process 4242",
    ),
    "descriptors-of-machine": (
        lambda m: m.write("proc/sys/fs/file-nr", "99000\t0\t100000\n"),
        "descriptors: 99000 of 100000 used on the machine",
    ),
    "processes-of-group": (
        lambda m: m.group("pids", max=30, current=30),
        "processes: 30 of 30 in control group shop",
    ),
    "threads-of-machine": (
        lambda m: m.write("proc/loadavg", "0.10 0.20 0.30 1/9999 99\n"),
        "processes: 9999 of 10000 threads on the machine",
    ),
}


@pytest.mark.parametrize(("spoil", "said"), CASES.values(), ids=CASES)
def test_each_shortage_is_seen_and_named(
    machine: Machine, spoil: Callable[[Machine], None], said: str
) -> None:
    spoil(machine)
    found = machine.short_of()
    assert len(found) == 1
    assert found[0].startswith(said)


PLENTY: dict[str, Callable[[Machine], None]] = {
    "cache-can-be-dropped": lambda m: (
        m.group("memory", limit_in_bytes=500 * MIB, usage_in_bytes=490 * MIB),
        m.write("cgroup/memory/shop/memory.stat", f"total_inactive_file {300 * MIB}\n"),
    )[0],
    "no-limit-v2": lambda m: m.version_2(max="max", current=9 * 1024 * MIB),
    "half-full-descriptors": lambda m: m.write(f"proc/{PID}/limits", limits(20)),
    "unlimited-descriptors": lambda m: m.write(
        f"proc/{PID}/limits", limits(10).replace("10   ", "unlimited")
    ),
    "large-machine-with-less-than-a-twentieth": lambda m: m.meminfo(total=64, available=2),
}


@pytest.mark.parametrize("change", PLENTY.values(), ids=PLENTY)
def test_what_suffices_is_no_shortage(machine: Machine, change: Callable[[Machine], None]) -> None:
    change(machine)
    assert machine.short_of() == []


def test_a_loaded_machine_counts_only_if_the_browser_is_slow(machine: Machine) -> None:
    machine.write("proc/loadavg", "900.00 20.00 30.00 1/400 99\n")
    assert machine.short_of() == []
    assert machine.short_of(sluggish=True)[0].startswith("processor: load 900 on")


def test_a_control_group_inside_a_container_is_the_root_it_sees(machine: Machine) -> None:
    machine.write(f"proc/{PID}/cgroup", "2:memory:/docker/0123456789/shop\n")
    machine.write("cgroup/memory/memory.stat", "total_inactive_file 0\n")
    machine.write("cgroup/memory/memory.limit_in_bytes", f"{100 * MIB}\n")
    machine.write("cgroup/memory/memory.usage_in_bytes", f"{99 * MIB}\n")
    assert machine.short_of()[0].startswith("memory: 1 MiB of 100 MiB left")


@pytest.mark.parametrize("version", [1, 2])
def test_kills_for_lack_of_memory_count_from_the_start_of_the_session(
    machine: Machine, version: int
) -> None:
    """A counter that had risen before says nothing; one that rises then does."""
    counter = "cgroup/memory/shop/memory.oom_control"
    if version == 2:
        machine.version_2(stat="inactive_file 0")
        counter = "cgroup/shop/memory.events"
    machine.write(counter, "oom 1\noom_kill 2\n")
    before = machine.host().oom_kills(PID)
    assert machine.short_of(oom_kills=before) == []
    machine.write(counter, "oom 2\noom_kill 3\n")
    assert machine.short_of(oom_kills=before) == [
        "memory: 1 killed for lack of it in control group shop"
    ]


def test_kills_are_seen_in_the_group_of_a_browser_that_is_gone(machine: Machine) -> None:
    before = machine.host().oom_kills(PID)
    (machine.proc / str(PID) / "cgroup").unlink()
    machine.write("cgroup/memory/shop/memory.oom_control", "oom_kill 1\n")
    assert "memory: 1 killed for lack of it in control group shop" in machine.short_of(
        oom_kills=before
    )


def test_the_kernel_log_tells_whether_it_was_ours(machine: Machine) -> None:
    before = machine.host().oom_kills(PID)
    machine.write("proc/vmstat", "oom_kill 4\n")
    told = "Out of memory: Killed process 77 (chromium) total-vm:1kB"
    machine.log.write_text(f"{told}\n", encoding="ascii")
    assert machine.short_of(oom_kills=before, family=[76]) == [
        "memory: 1 killed for lack of it on the machine"
    ]
    assert "memory: the kernel killed chromium, pid 77" in machine.short_of(
        oom_kills=before, family=[76, 77]
    )


def test_what_reaches_a_limit_of_its_own_elsewhere_is_no_shortage_here(machine: Machine) -> None:
    """The machine counts kills in every control group, those of other containers as well."""
    before = machine.host().oom_kills(PID)
    machine.write("proc/vmstat", "oom_kill 5\n")
    older = "Out of memory: Killed process 12 (java) total-vm:1kB"
    elsewhere = "Memory cgroup out of memory: Killed process 77 (chromium) total-vm:1kB"
    machine.log.write_text(f"{older}\n{elsewhere}\n{elsewhere}\n", encoding="ascii")
    assert machine.short_of(oom_kills=before, family=[76]) == []
    # One of ours among them, or one that nobody can tell apart, is told.
    assert machine.short_of(oom_kills=before, family=[77]) != []
    machine.log.write_text(f"{elsewhere}\n", encoding="ascii")
    assert machine.short_of(oom_kills=before, family=[76]) != []


def test_a_full_disk_is_seen(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.statvfs("/")
    full = os.statvfs_result((*real[:3], 0, 0, *real[5:]))
    monkeypatch.setattr(os, "statvfs", lambda _path: full)
    found = machine.host().shortages(folders=["/profile"])
    assert "disk: 0 MiB free in /profile" in found
    assert any(text.startswith(f"{machine.proc}: 0 MiB of") for text in found)


def test_the_shared_memory_of_a_browser_is_not_always_ours(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a container, or a name space of its own, it has another one."""
    real = os.statvfs("/")
    full = os.statvfs_result((*real[:3], 0, 0, *real[5:]))
    theirs = f"{machine.proc}/{PID}/root{machine.proc}"
    monkeypatch.setattr(os, "statvfs", lambda path: full if path == theirs else real)
    found = [text for text in machine.host().shortages(pids=[PID]) if "free" in text]
    assert [text.partition(":")[0] for text in found] == [str(machine.proc)]


class TestExamine:
    """The machine is looked at only where the session's own answers leave the cause open."""

    @pytest.mark.parametrize(
        ("answers", "asked"),
        [
            ({"session": "ok", "page": "ok"}, False),
            ({"session": "crashed"}, True),
            ({"session": "silent"}, True),
            ({"session": "error"}, True),
            ({"browser_process": "zombie"}, True),
            ({"browser_process": "stopped"}, False),
            ({"driver_process": "zombie", "browser_process": "alive"}, False),
            ({"latch": "closed", "session": "dead"}, False),
            ({}, False),
        ],
        ids=lambda value: "-".join(value.values()) or "none" if isinstance(value, dict) else None,
    )
    def test_a_settled_matter_is_not_looked_into(
        self, answers: dict[str, str], asked: bool
    ) -> None:
        evidence = Evidence(ProbeResult(name, answer) for name, answer in answers.items())
        assert (host.examine(session_here(), evidence) is not None) is asked

    def test_a_command_that_timed_out_is_looked_into(self) -> None:
        session = session_here()
        session.first_failure = ExceptionFact(
            ("selenium.common.exceptions.TimeoutException",), "timed out from renderer"
        )
        assert host.examine(session, Evidence([ProbeResult("session", "ok")])) is not None

    def test_the_machine_of_a_browser_elsewhere_is_not_ours(self) -> None:
        session = session_here(remote=True)
        assert host.examine(session, Evidence([ProbeResult("session", "crashed")])) is None


def session_here(**keywords: Any) -> DriverSession:
    given: dict[str, Any] = {"remote": False, **keywords}
    return DriverSession(
        session_id="mine",
        browser="chrome",
        browser_version="1",
        endpoint="http://127.0.0.1:9",
        wire=Wire("http://127.0.0.1:9"),
        requested={},
        capabilities={},
        **given,
    )


def test_what_the_real_machine_counts_is_understood() -> None:
    """Every figure that is compared with a limit is really there to be read."""
    here = Host()
    assert host._number(host._fields(Path("/proc/meminfo")), "MemAvailable:") > 0
    assert int(host._limits(Path("/proc/self"))["Max open files"]) > 0
    assert host._numbers(Path("/proc/sys/fs/file-nr"), 3)[2] > 0
    assert here.oom_kills(os.getpid()).keys() >= {""}
    assert host.examine_start().probe == "host"


def test_a_browser_knows_the_kills_before_it(
    registry: SessionRegistry, chrome: Callable[..., Any]
) -> None:
    session = registry.session_of(chrome())
    assert session is not None
    assert "" in session.oom_kills
    assert host.oom_kills(session.browser_process) == session.oom_kills
