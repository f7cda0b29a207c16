"""The spools of a session's workers, read while it runs: what they hold, and what is missing.

Invariant: nothing is written here, and what cannot be read counts as not written. Records are
numbered from 1 without gaps by whoever writes them, so that a missing number is a lost record.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Set
from pathlib import Path
from typing import Any

from pytest_resilience.core import events
from pytest_resilience.core.events import Attempt

_HEAD = re.compile(rb'"sid":"([^"]*)","worker":"([^"]*)","seq":(\d+),')
_HEAD_BYTES = 500


class Records:
    """What the processes of one session have written down so far.

    Args:
        folder: Where spools are, None if there are none.
        elsewhere: Workers whose verdicts this process writes down as it hears of them.
    """

    def __init__(
        self, folder: Path | None, session_id: str, elsewhere: Set[str] = frozenset()
    ) -> None:
        self._folder = folder
        self._elsewhere = elsewhere
        self._session_id = session_id.encode()

    def reruns(self, worker: str, nodeid: str) -> list[Attempt]:
        """Return the superseded attempts of an item that `worker` has written down."""
        return [
            Attempt.from_dict(data)
            for kind, data in self._of(worker)
            if kind == events.ATTEMPT and data.get("nodeid") == nodeid
            if data.get("outcome") == "rerun"
        ]

    def has_result(self, worker: str, nodeid: str) -> bool:
        """Return whether `worker` has written down the verdict of an item, or cannot write."""
        if self._folder is None or worker in self._elsewhere:
            return True
        return any(
            kind == events.TEST_RESULT and data.get("nodeid") == nodeid
            for kind, data in self._of(worker)
        )

    def command(self, worker: str, nodeid: str) -> str:
        """Return the last WebDriver command that `worker` has told of for an item, "" if none."""
        commands = [
            data.get("command") or ""
            for kind, data in self._of(worker)
            if kind == events.ERROR and data.get("nodeid") == nodeid
        ]
        return str(commands[-1]) if commands else ""

    def injected(self, worker: str, nodeid: str, attempt: int) -> str:
        """Return what `worker` was about to inject into an attempt of an item, "" if nothing."""
        told = ""
        for kind, data in self._of(worker):
            # Where xdist keeps groups together, it adds their names to node ids.
            ours = data.get("nodeid") in (nodeid, nodeid.rpartition("@")[0])
            if kind != events.INJECTION or not ours or data.get("attempt") != attempt:
                continue
            if data.get("struck"):
                told = "{failure_type}:{intensity}@{point}".format_map(data)
        return told

    def lost(self) -> dict[str, int]:
        """Return how many records are missing from the spools, by worker."""
        lost: dict[str, int] = {}
        for path, worker in self._spools():
            lines = _lines(path)
            # The last one may have been cut off in the middle.
            torn = bool(lines) and not lines[-1].endswith(b"}")
            numbers = [found for line in lines[: -1 if torn else None] if (found := _number(line))]
            missing = max(numbers, default=0) - len(numbers) + torn
            if missing:
                lost[worker] = lost.get(worker, 0) + missing
        return lost

    def results(self) -> set[tuple[str, str]]:
        """Return worker and node id of all verdicts that are written down."""
        return {
            (str(data.get("worker") or writer), str(data.get("nodeid")))
            for path, writer in self._spools()
            for kind, data in _told(path)
            if kind == events.TEST_RESULT
        }

    def _of(self, worker: str) -> Iterator[tuple[str, dict[str, Any]]]:
        for path, writer in self._spools():
            if writer != worker:
                continue
            yield from _told(path)

    def _spools(self) -> Iterator[tuple[Path, str]]:
        """Yield the spools of this session, with who writes them."""
        for path in sorted(self._folder.glob("*.jsonl")) if self._folder is not None else ():
            try:
                with path.open("rb") as file:
                    head = _HEAD.search(file.read(_HEAD_BYTES))
            except OSError:
                continue
            if head is not None and head[1] == self._session_id:
                yield path, head[2].decode()


def _told(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield kind and content of the records of a spool."""
    for line in _lines(path):
        try:
            record = json.loads(line)
            yield record["kind"], record["data"]
        except (ValueError, KeyError, TypeError):
            continue


def _lines(path: Path) -> list[bytes]:
    try:
        return path.read_bytes().splitlines()
    except OSError:
        return []


def _number(line: bytes) -> int:
    """Return the number of a record, 0 if the line is none."""
    head = _HEAD.search(line, 0, _HEAD_BYTES)
    return int(head[3]) if head is not None else 0
