"""Workers killed at random while they drive browsers: one run of it, and what it promises.

`benchmarks/worker_kills.py` makes many of these runs, the tests a few.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tests.acceptance.inner import counted_everywhere, remains, sources

if TYPE_CHECKING:
    from tests.conftest import RunSuite, SuiteRun

FILES = {
    "conftest.py": "@killed_workers",
    "test_one.py": "@shop_on_workers",
    "test_two.py": "@shop_on_workers",
}
TESTS = 9 * 2
#: A worker more than an item may cost, and it has failed for good.
LOSSES_TO_FAIL = 3
#: Seconds after which a run is said to hang.
LIMIT_S = 480.0


class Case(NamedTuple):
    """One run: mode of distribution, number of workers, seed, and how many of them are killed."""

    mode: str
    workers: int
    seed: int
    kills: int = 3

    def __str__(self) -> str:
        return f"{self.mode}-{self.workers}-{self.seed}"


def run(case: Case, run_suite: RunSuite, temporary: Path) -> SuiteRun:
    """Run the suite, with its browsers in `temporary`."""
    return run_suite(
        sources(FILES),
        *("-n", str(case.workers), "--dist", case.mode, "--junitxml", "junit.xml"),
        *("--basetemp", "base"),
        plugins=("xdist.plugin",),
        env={"TMPDIR": str(temporary), "SEED": str(case.seed), "KILLS": str(case.kills)},
        timeout=LIMIT_S,
    )


def broken_promises(case: Case, done: SuiteRun, temporary: Path) -> list[str]:
    """Return what of the promised was not kept, in words; empty if all was."""
    if not done.summary:
        return ["there is no summary"]
    return [
        *_wrong_verdicts(case, done),
        *_lost_events(done),
        *(f"left behind: {left}" for left in remains(temporary)),
        *(f"left behind: {path}" for path in done.log("profiles.txt") if Path(path).exists()),
    ]


def _wrong_verdicts(case: Case, done: SuiteRun) -> Iterator[str]:
    times = case.workers if case.mode == "each" else 1
    tests = done.summary["tests"]
    told = Counter(test["nodeid"] for test in tests)
    if len(told) != TESTS:
        yield f"{len(told)} of {TESTS} tests have a verdict"
    yield from (f"{count} verdicts of {name}" for name, count in told.items() if count != times)
    for test in tests:
        verdict, losses = test["verdict"], sum(_is_loss(a) for a in test["attempts"])
        lost = verdict == "unrecovered" and losses >= (1 if case.mode == "each" else LOSSES_TO_FAIL)
        name = test["nodeid"]
        if "wrong" in name:
            right = verdict == "failed" or lost
        elif "skipped" in name:
            # A skip after a loss is no pardon for it: nobody knows what was lost.
            refused = losses > 0 and _skip_was_refused(name, done.output)
            right = verdict == "skipped" or lost or refused
        else:
            right = verdict in ("passed", "recovered") or lost
        if not right:
            yield f"{name} is {verdict} after {losses} losses"
    if done.status != 1:
        yield f"ended with status {done.status}"
    if "INTERNALERROR" in done.output:
        yield "there was an internal error"


def _lost_events(done: SuiteRun) -> Iterator[str]:
    if done.summary["events_lost"]:
        yield f"{done.summary['events_lost']} events lost"
    yield from (f"warned: {warning}" for warning in done.summary["details"]["warnings"])
    # What the tests themselves have written down is the measure of what was told.
    made: Counter[str] = Counter()
    for test in done.summary["tests"]:
        made[test["nodeid"]] += len(test["attempts"])
    for name, times in Counter(done.log("begun.txt")).items():
        if made[name] < times:
            yield f"{name} began {times} times and {made[name]} attempts are known"
    counts = counted_everywhere(done)
    if any(count != counts[0] for count in counts):
        yield f"counts differ: {counts}"
    entries = Counter(
        (case.get("classname"), case.get("name"))
        for case in ET.parse(done.folder / "junit.xml").getroot()[0]
    )
    verdicts = len(done.summary["tests"])
    if sum(entries.values()) != verdicts:
        yield f"JUnit's report has {sum(entries.values())} entries for {verdicts} verdicts"


def _skip_was_refused(name: str, output: str) -> bool:
    told = (
        rf"^UNRECOVERED {re.escape(name)} .*\n +reason: Skipped: .* after attempt \d+ had failed$"
    )
    return re.search(told, output, re.MULTILINE) is not None


def _is_loss(attempt: dict[str, object]) -> bool:
    return attempt["error_type"] == "worker"
