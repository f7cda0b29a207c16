"""Is this machine short of something that a browser needs?

Invariant: reads what the system counts anyway and starts nothing; what cannot be read is
not short. Answers in a few milliseconds.
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pytest_resilience.browser import latch
from pytest_resilience.core.evidence import (
    BROWSER_PROCESS,
    CLOSED,
    CRASHED,
    DEAD,
    ERROR,
    HOST,
    LATCH,
    LIFELESS,
    OK,
    SESSION,
    SHORT,
    SILENT,
    Evidence,
    ProbeResult,
)
from pytest_resilience.core.failures import ErrorType

if TYPE_CHECKING:
    from pytest_resilience.browser.processes import ProcessId
    from pytest_resilience.browser.sessions import DriverSession

_MIB = 1024 * 1024
#: Bytes of memory below which a machine or control group is short, or this share of it.
_MEMORY_BYTES, _MEMORY_SHARE = 512 * _MIB, 0.05
#: The same for shared memory, through which a browser passes pictures.
_SHARED_BYTES, _SHARED_SHARE = 64 * _MIB, 0.1
#: Bytes of disk a browser's profile needs.
_DISK_BYTES = 32 * _MIB
#: Share of a limit from which on it counts as reached.
_FULL = 0.95
#: Percentage of the last ten seconds in which all work waited for memory.
_STALLED = 25.0
#: Seconds for a script that does nothing (usually 0.01) that only a starved machine needs.
_SLUGGISH_S = 1.0
#: Control groups show "no limit" as an enormous one.
_NO_LIMIT = 1 << 60
_KERNEL_RECORDS = 20_000
_KILLED = re.compile(rb"(Memory cgroup out of memory: )?Killed process (\d+) \(([^)]*)\)")

_UNSETTLED = frozenset({CRASHED, DEAD, SILENT, ERROR})
_OF_WAITING = frozenset({ErrorType.TIMEOUT.label, ErrorType.CONNECTION.label})


def examine(session: DriverSession, evidence: Evidence) -> ProbeResult | None:
    """Look at the machine, if a shortage may be behind what happened to `session`.

    Args:
        evidence: What the session itself answered.

    Returns:
        None if that settles the matter, or the browser runs on another machine.
    """
    if session.remote or not _unsettled(session, evidence):
        return None
    begun = time.monotonic()
    known = (session.driver_process, session.browser_process)
    shortages = Host().shortages(
        pids=[process.pid for process in known if process is not None],
        family=[process.pid for process in session.relatives],
        folders=[session.profile_dir or ""],
        oom_kills=session.oom_kills,
        sluggish=any(r.probe == SESSION and r.cost_s >= _SLUGGISH_S for r in evidence)
        and evidence.answer(SESSION) == OK,
    )
    return _result(shortages, begun)


def examine_start() -> ProbeResult:
    """Look at the machine on which a browser did not start."""
    begun = time.monotonic()
    return _result(Host().shortages(), begun)


def oom_kills(browser: ProcessId | None) -> dict[str, int]:
    """Return how many processes were killed for lack of memory, by where that is counted."""
    return Host().oom_kills(browser.pid if browser is not None else None)


class _Kill(NamedTuple):
    """A process that was killed for lack of memory; `of_group`: of its control group's alone."""

    pid: int
    name: str
    of_group: bool


class Host:
    """The counters of a machine.

    Args:
        proc: Where the kernel shows its processes.
        cgroups: Where it shows its control groups, of either version.
        shared: Where shared memory is mounted.
        kernel_log: Where it tells what it did.
    """

    def __init__(
        self,
        proc: str = "/proc",
        cgroups: str = "/sys/fs/cgroup",
        shared: str = "/dev/shm",
        kernel_log: str = "/dev/kmsg",
    ) -> None:
        self._proc = Path(proc)
        self._cgroups = Path(cgroups)
        self._shared = shared
        self._kernel_log = kernel_log

    def shortages(
        self,
        *,
        pids: Iterable[int] = (),
        family: Iterable[int] = (),
        folders: Iterable[str] = (),
        oom_kills: Mapping[str, int] | None = None,
        sluggish: bool = False,
    ) -> list[str]:
        """Return what is short, each in a few words that begin with its name.

        Args:
            pids: The processes of the browser that have limits of their own.
            family: All its processes.
            folders: Where it writes, besides the temporary directory.
            oom_kills: What `oom_kills` said earlier; without it nothing is said of kills.
            sluggish: True if the browser needed long for what is done at once elsewhere.
        """
        pids = [*pids, os.getpid()]
        found = [
            *self._memory(),
            *self._memory_of_groups(pids),
            *self._shared_memory(pids),
            *_disk([*folders, tempfile.gettempdir()]),
            *self._descriptors(pids),
            *self._processes(pids),
            *(self._processor() if sluggish else ()),
            *(self._killed(pids, frozenset(family), oom_kills) if oom_kills is not None else ()),
        ]
        return list(dict.fromkeys(found))

    def memory_shortages(self) -> list[str]:
        """Return what of `shortages` concerns memory, for the machine and for this process."""
        return [*self._memory(), *self._memory_of_groups([os.getpid()])]

    def oom_kills(self, pid: int | None) -> dict[str, int]:
        """Return the counters of kills for lack of memory that concern the process `pid`."""
        counters = {"": _number(_fields(self._proc / "vmstat"), "oom_kill")}
        for folder in self._groups("memory", [pid or os.getpid()]):
            counters[str(folder)] = _kills_in(folder)
        return counters

    def _memory(self) -> Iterator[str]:
        known = _fields(self._proc / "meminfo")
        total, free = (1024 * _number(known, f"Mem{name}:") for name in ("Total", "Available"))
        if "MemAvailable:" in known and free < _enough(total):
            yield f"memory: {_size(free)} of {_size(total)} available"
        stalled = _pressure(self._proc / "pressure" / "memory", "full")
        if stalled >= _STALLED:
            yield f"memory: everything waits for it {stalled:.0f} % of the time"

    def _memory_of_groups(self, pids: Iterable[int]) -> Iterator[str]:
        for folder in self._groups("memory", pids):
            limit = _limit(folder, "memory.max", "memory.limit_in_bytes")
            if limit is None:
                continue
            used = _value(folder, "memory.current", "memory.usage_in_bytes") or 0
            counted = _fields(folder / "memory.stat")
            cache = counted.get("total_inactive_file", counted.get("inactive_file", "0"))
            free = limit - used + int(cache)
            if free < _enough(limit):
                yield f"memory: {_size(free)} of {_size(limit)} left to control group {folder.name}"

    def _shared_memory(self, pids: Iterable[int]) -> Iterator[str]:
        # A browser in a container of its own has another one than we have.
        theirs = (f"{self._proc}/{pid}/root{self._shared}" for pid in pids)
        for place in (self._shared, *theirs):
            with contextlib.suppress(OSError, AttributeError):
                state = os.statvfs(place)
                total, free = state.f_blocks * state.f_frsize, state.f_bavail * state.f_frsize
                if free < min(_SHARED_BYTES, _SHARED_SHARE * total):
                    yield f"{self._shared}: {_size(free)} of {_size(total)} free"

    def _descriptors(self, pids: Iterable[int]) -> Iterator[str]:
        for pid in pids:
            with contextlib.suppress(OSError, ValueError, KeyError):
                limit = int(_limits(self._proc / str(pid))["Max open files"])
                used = len(os.listdir(self._proc / str(pid) / "fd"))
                if used >= _FULL * limit:
                    yield f"descriptors: {used} of {limit} used by process {pid}"
        used, _free, limit = _numbers(self._proc / "sys" / "fs" / "file-nr", 3)
        if limit and used >= _FULL * limit:
            yield f"descriptors: {used} of {limit} used on the machine"

    def _processes(self, pids: Iterable[int]) -> Iterator[str]:
        for folder in self._groups("pids", pids):
            limit, used = _limit(folder, "pids.max"), _value(folder, "pids.current")
            if limit and used and used >= _FULL * limit:
                yield f"processes: {used} of {limit} in control group {folder.name}"
        kernel = self._proc / "sys" / "kernel"
        limits = [_numbers(kernel / name, 1)[0] for name in ("threads-max", "pid_max")]
        used = int(_text(self._proc / "loadavg").partition("/")[2].partition(" ")[0] or 0)
        limit = min((limit for limit in limits if limit), default=0)
        if limit and used >= _FULL * limit:
            yield f"processes: {used} of {limit} threads on the machine"

    def _processor(self) -> Iterator[str]:
        load = float(_text(self._proc / "loadavg").partition(" ")[0] or 0)
        processors = os.cpu_count() or 1
        if load >= 2 * processors:
            yield f"processor: load {load:.0f} on {processors}, and the browser is slow"

    def _killed(
        self, pids: Iterable[int], family: frozenset[int], before: Mapping[str, int]
    ) -> Iterator[str]:
        folders = {*map(Path, filter(None, before)), *self._groups("memory", pids)}
        for folder in sorted(folders):
            risen = _kills_in(folder) - before.get(str(folder), 0)
            if risen > 0:
                yield f"memory: {risen} killed for lack of it in control group {folder.name}"
        risen = _number(_fields(self._proc / "vmstat"), "oom_kill") - before.get("", 0)
        if risen > 0:
            kills = self._kills()
            others = [k for k in kills[-risen:] if k.of_group and k.pid not in family]
            if len(others) == risen:
                # The machine counts them, too: the limits of others say nothing of our memory.
                return
            yield f"memory: {risen} killed for lack of it on the machine"
            for kill in (kill for kill in kills if kill.pid in family):
                yield f"memory: the kernel killed {kill.name}, pid {kill.pid}"

    def _kills(self) -> list[_Kill]:
        """Return what the kernel says it killed, oldest first, where it lets us read that."""
        with contextlib.suppress(OSError):
            log = os.open(self._kernel_log, os.O_RDONLY | os.O_NONBLOCK)
            try:
                return [_kill(*found) for r in _records(log) for found in _KILLED.findall(r)]
            finally:
                os.close(log)
        return []

    def _groups(self, controller: str, pids: Iterable[int]) -> list[Path]:
        """Return the control groups that limit `pids`, without those of no controller."""
        found: dict[Path, None] = {}
        for pid in pids:
            for line in _text(self._proc / str(pid) / "cgroup").splitlines():
                _number_of, controllers, path = (*line.split(":", 2), "", "")[:3]
                if controllers == "":
                    roots = [self._cgroups, self._cgroups / "unified"]
                elif controller in controllers.split(","):
                    roots = [self._cgroups / controller]
                else:
                    continue
                for root in roots:
                    found.update(dict.fromkeys(_lineage(root, path, controller)))
        return list(found)


def _unsettled(session: DriverSession, evidence: Evidence) -> bool:
    if evidence.answer(LATCH) == CLOSED:
        return False
    if evidence.answer(SESSION) in _UNSETTLED or evidence.answer(BROWSER_PROCESS) in LIFELESS:
        return True
    failed = session.first_failure
    return failed is not None and latch.label_of(failed) in _OF_WAITING


def _result(shortages: list[str], begun: float) -> ProbeResult:
    answer, detail = (SHORT, "; ".join(shortages)) if shortages else (OK, _state())
    return ProbeResult(HOST, answer, detail, time.monotonic() - begun)


def _state() -> str:
    with contextlib.suppress(OSError, AttributeError):
        return f"load {os.getloadavg()[0]:.0f} on {os.cpu_count()} processors"
    return ""


def _lineage(root: Path, path: str, controller: str) -> Iterator[Path]:
    """Yield the folder of a control group and those above it, from inside a container too."""
    folder = root / path.strip("/")
    if not folder.is_dir():
        # A container sees its own group as the root, whatever it is called outside.
        folder = root
    for level in (folder, *folder.parents):
        if (level / f"{controller}.stat").exists() or (level / f"{controller}.max").exists():
            yield level
        if level == root:
            return


def _kills_in(folder: Path) -> int:
    for name in ("memory.events", "memory.oom_control"):
        known = _fields(folder / name)
        if "oom_kill" in known:
            return _number(known, "oom_kill")
    return 0


def _disk(folders: Iterable[str]) -> Iterator[str]:
    for folder in dict.fromkeys(filter(None, folders)):
        with contextlib.suppress(OSError, AttributeError):
            state = os.statvfs(folder)
            free = state.f_bavail * state.f_frsize
            if free < _DISK_BYTES:
                yield f"disk: {_size(free)} free in {folder}"
            elif state.f_files and not state.f_favail:
                yield f"disk: no more files can be made in {folder}"


def _enough(total: float) -> float:
    return min(_MEMORY_BYTES, _MEMORY_SHARE * total)


def _kill(of_group: bytes, pid: bytes, name: bytes) -> _Kill:
    return _Kill(int(pid), name.decode("utf-8", "replace"), bool(of_group))


def _records(log: int) -> Iterator[bytes]:
    for _ in range(_KERNEL_RECORDS):
        try:
            record = os.read(log, 8192)
        except BrokenPipeError:
            # It was overwritten while we read; the next one is whole again.
            continue
        if not record:
            return
        yield record


def _limits(folder: Path) -> dict[str, str]:
    """Return the soft limits of a process by name."""
    lines = _text(folder / "limits").splitlines()[1:]
    return {
        name.strip(): soft for name, soft in ((line[:26], line[26:46].strip()) for line in lines)
    }


def _limit(folder: Path, *names: str) -> int | None:
    value = _value(folder, *names)
    return None if value is None or value >= _NO_LIMIT else value


def _value(folder: Path, *names: str) -> int | None:
    """Return the number in the first of `names` there is, None for none or no limit."""
    for name in names:
        text = _text(folder / name).strip()
        if text.isdigit():
            return int(text)
    return None


def _pressure(path: Path, kind: str) -> float:
    found = re.search(rf"^{kind} avg10=([\d.]+)", _text(path), re.MULTILINE)
    return float(found[1]) if found else 0.0


def _fields(path: Path) -> dict[str, str]:
    """Return the lines of a file of names and values."""
    pairs = (line.split() for line in _text(path).splitlines())
    return {pair[0]: pair[1] for pair in pairs if len(pair) > 1}


def _number(fields: Mapping[str, str], name: str) -> int:
    value = fields.get(name, "")
    return int(value) if value.isdigit() else 0


def _numbers(path: Path, count: int) -> list[int]:
    words = [int(word) for word in _text(path).split()[:count] if word.isdigit()]
    return words if len(words) == count else [0] * count


def _text(path: Path) -> str:
    try:
        return path.read_text("ascii", "replace")
    except (OSError, ValueError):
        return ""


def _size(count: float) -> str:
    mib = max(0.0, count) / _MIB
    return f"{mib / 1024:.1f} GiB" if mib >= 1024 else f"{mib:.0f} MiB"
