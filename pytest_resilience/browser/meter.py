"""What a recovery costs the machine: one sample before it, one after.

Invariant: a sample reads counters the system keeps anyway (2 to 5 ms); what cannot be read
is left out, and nothing is imported before the first sample.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import psutil

_MIB = 1024 * 1024
#: Parts of `psutil.cpu_times` in which a processor works.
_WORKING = ("user", "nice", "system", "irq", "softirq")


class SystemMeter:
    """See `core.ports.Meter`.

    Args:
        folder: Its disk is looked at.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def sample(self) -> Mapping[str, float]:
        """Return the state now; see `core.ports.Meter.sample`."""
        import psutil

        sample: dict[str, float] = {}
        for part in (_processors, _memory, _network, self._disk, _own):
            with contextlib.suppress(Exception):
                sample.update(part(psutil))
        return sample

    def _disk(self, psutil: Any) -> Iterator[tuple[str, float]]:
        yield "disk_percent", psutil.disk_usage(str(self._folder)).percent


def _processors(psutil: Any) -> Iterator[tuple[str, float]]:
    # Since the sample before; the first one of a process tells nothing and says 0.
    yield "cpu_percent", psutil.cpu_percent()
    times = psutil.cpu_times()
    yield "cpu_s", sum(getattr(times, part, 0.0) for part in _WORKING)


def _memory(psutil: Any) -> Iterator[tuple[str, float]]:
    yield "memory_percent", psutil.virtual_memory().percent


def _network(psutil: Any) -> Iterator[tuple[str, float]]:
    network = psutil.net_io_counters()
    yield "net_sent_bytes", float(network.bytes_sent)
    yield "net_recv_bytes", float(network.bytes_recv)


def _own(psutil: Any) -> Iterator[tuple[str, float]]:
    process = psutil.Process()
    times = process.cpu_times()
    yield "process_cpu", times.user + times.system + times.children_user + times.children_system
    yield "process_memory_mb", _resident(process) / _MIB


def _resident(process: psutil.Process) -> float:
    total = process.memory_info().rss
    for child in process.children(recursive=True):
        # A child may end while it is looked at.
        with contextlib.suppress(Exception):
            total += child.memory_info().rss
    return float(total)
