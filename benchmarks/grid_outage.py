"""How many tests does an outage of the Grid cost, and how long does the run take?

    python -m benchmarks.grid_outage
    python -m benchmarks.grid_outage --outages node-back --arms plain rerunfailures --tests 20

A real Selenium Grid, hub and node as processes of their own, and a suite of 40 tests, 35 of
which share one remote browser. While test 15 runs, the node (with its browsers) or the hub is
killed; it is started again 20 s later, or never. Each outage is met by plain pytest, by pytest
with ``--reruns 3`` of pytest-rerunfailures, and by pytest with ``--resilience``, each of which
is also measured without an outage.

Invariant: every run has a Grid of its own and strikes at the same command of the same test;
a test counts as passed only if pytest reported so; a run that was cut off is called that.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

import psutil

from benchmarks.machine import described
from tests.acceptance.grid import JAR, Grid, free_port

ROOT = Path(__file__).resolve().parents[1]
FILES = {
    "lab.py": ROOT / "tests" / "acceptance" / "lab.py",
    "conftest.py": ROOT / "tests" / "acceptance" / "suites" / "outage_grid.py",
    "test_shop.py": ROOT / "tests" / "acceptance" / "suites" / "outage_shop.py",
    "record.py": ROOT / "benchmarks" / "grid_outage_suite" / "record.py",
}
#: What each arm adds to pytest's command line.
ARMS = {
    "plain": (),
    "rerunfailures": ("-p", "pytest_rerunfailures", "--reruns", "3"),
    "resilience": (
        *("-p", "pytest_resilience.plugin.main", "--resilience"),
        *("--resilience-json", "summary.json"),
    ),
}
#: What is lost, and whether it comes back.
OUTAGES = {
    "node-back": ("node", True),
    "hub-back": ("hub", True),
    "node-gone": ("node", False),
    "hub-gone": ("hub", False),
}
COLUMNS = ("passed", "recovered", "failed", "error", "blocked", "not run")


class FragileGrid(Grid):
    """A Grid whose parts can be lost and come back under their old addresses."""

    def __init__(self, folder: Path, temporary: Path, *arguments: str) -> None:
        super().__init__(folder, temporary, *arguments)
        self._arguments = arguments
        self._node_url = f"http://127.0.0.1:{free_port()}"
        self._begin_node()
        self._wait_for_nodes(1, self.nodes[-1])

    def lose(self, part: str) -> None:
        """Kill the hub, or the node with its drivers and browsers, as when their host dies."""
        part_process = self.hub if part == "hub" else self.nodes[-1]
        leader = psutil.Process(part_process.pid)
        for victim in (leader, *leader.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                victim.kill()
        part_process.wait(60)

    def begin_again(self, part: str) -> None:
        """Start the part that was lost; does not wait until it is ready."""
        if part == "hub":
            self.hub = self._start("hub", self.url, *self._bus(), *self._arguments)
        else:
            self._begin_node()

    def _begin_node(self) -> None:
        self.nodes.append(self._start("node", self._node_url, *self._bus(), *self._offer(4)))


@dataclass
class Outage:
    """What happens to a Grid during a run, once the suite says that it is time.

    Attributes:
        part: What is lost.
        back_s: Seconds after which it is started again, None for never.
        told: What happened and when, in words.
    """

    grid: FragileGrid
    folder: Path
    part: str
    back_s: float | None
    told: list[str] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Outage:
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        if not self._until((self.folder / "strike").exists):
            return
        # A hub goes on believing in a dead node, but a new one has another name.
        known = self._nodes() if self.part == "node" else set()
        self.grid.lose(self.part)
        lost = time.monotonic()
        (self.folder / "struck").touch()
        if self.back_s is None:
            return
        if self._over.wait(self.back_s):
            self.told.append("over before it came back")
            return
        self.grid.begin_again(self.part)
        if self._until(lambda: self._nodes() - known, every_s=0.25):
            self.told.append(f"grid ready again after {time.monotonic() - lost:.0f} s")

    def _nodes(self) -> set[str]:
        return {node["id"] for node in self.grid.nodes_up()}

    def _until(self, condition: Callable[[], object], *, every_s: float = 0.01) -> bool:
        while not condition():
            if self._over.wait(every_s):
                return False
        return True


@dataclass(frozen=True)
class Run:
    """One run of the suite.

    Attributes:
        wall_s: Seconds of the whole process.
        counts: Tests by what became of them.
        notes: What else there is to say.
    """

    wall_s: float
    counts: Counter[str]
    notes: list[str]

    @property
    def lost(self) -> int:
        """Tests without a good result, though nothing is wrong with what they test."""
        return sum(self.counts.values()) - self.counts["passed"] - self.counts["recovered"]


def run(arm: str, outage: str, options: argparse.Namespace) -> Run:
    """Run the suite once on a Grid of its own; `outage` is "" for none."""
    folder, temporary = (Path(tempfile.mkdtemp(prefix=prefix)) for prefix in ("pr-run-", "pr-"))
    for name, source in FILES.items():
        shutil.copy(source, folder / name)
    try:
        grid = FragileGrid(folder, temporary)
        try:
            if not outage:
                return _measured(arm, grid, folder, options, strike=0)
            part, returns = OUTAGES[outage]
            with Outage(grid, folder, part, options.back if returns else None) as plan:
                done = _measured(arm, grid, folder, options, strike=options.strike)
            done.notes.extend(plan.told)
            return done
        finally:
            grid.close()
    finally:
        for path in (folder, temporary):
            shutil.rmtree(path, ignore_errors=True)


def _measured(
    arm: str, grid: FragileGrid, folder: Path, options: argparse.Namespace, *, strike: int
) -> Run:
    command = [
        *(sys.executable, "-m", "pytest", "--rootdir", str(folder), "-q", "--tb=no"),
        *("-p", "no:cacheprovider", "-p", "record", *ARMS[arm]),
    ]
    surroundings = {
        **{k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")},
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTHONPATH": os.pathsep.join((str(folder), str(ROOT))),
        "PYTHONHASHSEED": "0",
        "GRID": grid.url,
        "SCOPE": options.scope,
        "STRIKE": str(strike),
        "TESTS": str(options.tests),
    }
    begun = time.monotonic()
    with (folder / "output.txt").open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=surroundings,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        notes = _awaited(process, options.limit)
    wall_s = time.monotonic() - begun
    if options.show:
        print((folder / "output.txt").read_text("utf-8", "replace"))
    return Run(wall_s, _counted(folder), notes)


def _awaited(process: subprocess.Popen[bytes], limit_s: float) -> list[str]:
    try:
        status = process.wait(limit_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(60)
        return [f"CUT OFF after {limit_s:g} s"]
    except BaseException:
        process.kill()
        raise
    return [] if status in (0, 1) else [f"exit status {status}"]


def _counted(folder: Path) -> Counter[str]:
    """Count what became of each collected test, by pytest's own reports."""
    collected = _json(folder / "collected.json") or []
    verdicts = dict.fromkeys(collected, "not run")
    again = set()
    path = folder / "reports.jsonl"
    for line in path.read_text("utf-8").splitlines() if path.exists() else ():
        report = json.loads(line)
        nodeid, outcome = report["nodeid"], report["outcome"]
        if outcome == "rerun":
            again.add(nodeid)
            verdicts[nodeid] = "not run"
        elif outcome == "failed" and verdicts[nodeid] != "failed":
            verdicts[nodeid] = "failed" if report["when"] == "call" else "error"
        elif outcome == "passed" and report["when"] == "call":
            verdicts[nodeid] = "recovered" if nodeid in again else "passed"
    for test in (_json(folder / "summary.json") or {"tests": []})["tests"]:
        if test["verdict"] == "blocked":
            verdicts[test["nodeid"]] = "blocked"
    return Counter(verdicts.values())


def _json(path: Path) -> object:
    return json.loads(path.read_text("utf-8")) if path.exists() else None


def main() -> None:
    """Measure and print."""
    options = _options()
    print(described())
    print(f"packages   pytest-rerunfailures {metadata.version('pytest-rerunfailures')}")
    print(f"grid       {_version_of_grid()}, hub and node with their default settings")
    print(
        f"\n{options.tests} tests on a driver of {options.scope} scope; test {options.strike} is"
        f" struck, and what was lost is started again {options.back:g} s later, or never;"
        f"\nruns are cut off after {options.limit:g} s; the order is fixed and nothing is drawn by"
        " lot but the plugin's own waits, which have no seed"
    )
    head = "".join(f"{name:>10}" for name in (*COLUMNS, "lost", "wall s", "calm s", "more s"))
    print(f"\n{'outage':11}{'arm':15}{'run':>4}{head}  notes", flush=True)
    for number in range(1, options.repeat + 1):
        calm = {arm: run(arm, "", options) for arm in options.arms}
        for arm in options.arms:
            _print("none", arm, number, calm[arm], calm[arm].wall_s)
        for outage in options.outages:
            for arm in options.arms:
                _print(outage, arm, number, run(arm, outage, options), calm[arm].wall_s)


def _print(outage: str, arm: str, number: int, done: Run, calm_s: float) -> None:
    counts = "".join(f"{done.counts[name]:10}" for name in COLUMNS)
    times = f"{done.wall_s:10.1f}{calm_s:10.1f}{done.wall_s - calm_s:10.1f}"
    notes = "; ".join(done.notes)
    print(f"{outage:11}{arm:15}{number:4}{counts}{done.lost:10}{times}  {notes}", flush=True)


def _version_of_grid() -> str:
    done = subprocess.run(
        ["java", "-jar", str(JAR), "standalone", "--version"],
        capture_output=True,
        text=True,
        check=False,
    )
    return (done.stdout or done.stderr).strip().splitlines()[0]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    more = parser.add_argument
    more("--tests", type=int, default=40, help="tests of the suite (default 40)")
    more("--strike", type=int, default=15, help="the test that is struck (default 15)")
    more("--back", type=float, default=20.0, help="seconds until it is back (default 20)")
    more("--limit", type=float, default=600.0, help="seconds a run may take (default 600)")
    more("--repeat", type=int, default=1, help="runs of everything (default 1)")
    more("--scope", choices=("session", "module", "function"), default="session")
    more("--outages", nargs="+", choices=tuple(OUTAGES), default=list(OUTAGES))
    more("--arms", nargs="+", choices=tuple(ARMS), default=list(ARMS))
    more("--show", action="store_true", help="print what each run printed")
    options = parser.parse_args()
    if not 0 < options.strike <= options.tests or options.strike % 7 == 0:
        parser.error(
            f"--strike {options.strike}: must be a test from 1 to {options.tests} that needs a"
            " browser, which every seventh does not"
        )
    return options


if __name__ == "__main__":
    main()
