"""What does a browser that is broken for good cost the tests of another one?

    python -m benchmarks.broken_browser
    python -m benchmarks.broken_browser --tests 20 --dies-after 10 --arms block none

One suite of two real browsers: a Chromium that works, and a Firefox that dies some seconds after
it was started, each time. As many tests need the one as the other; those of the Chromium share it,
those of the Firefox ask for one of their own. The suite is run with circuits that turn tests away
at once (`block`), with circuits that wait first (`defer`), without circuits (`none`), and by plain
pytest.

Invariant: all arms run the same tests in the same order; what became of each test is printed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path

from benchmarks.machine import described

ROOT = Path(__file__).resolve().parents[1]
SUITES = ROOT / "tests" / "acceptance"
_OURS = ("-p", "pytest_resilience.plugin.main", "--resilience", "--no-resilience-db")
#: What each arm adds to pytest's command line.
ARMS = {
    "block": (*_OURS, "--circuit-open-action", "block"),
    "defer": (*_OURS, "--resilience-max-wait", "5"),
    "none": (*_OURS, "--no-circuit-breaker"),
    "plain": (),
}
#: What a circuit has to save, in times.
BAR = 5.0


def run(arm: str, options: argparse.Namespace) -> float:
    """Run the suite once, print what became of it, and return the seconds it took."""
    folder = Path(tempfile.mkdtemp(prefix="pr-"))
    try:
        for name, source in {
            "lab.py": SUITES / "lab.py",
            "test_shop.py": SUITES / "suites" / "broken_firefox.py",
        }.items():
            shutil.copy(source, folder / name)
        program = folder / "firefox"
        program.write_text(f"#!/bin/sh\nsleep {options.dies_after:g}\nexit 1\n", "utf-8")
        program.chmod(0o755)
        begun = time.monotonic()
        done = subprocess.run(
            [
                *(sys.executable, "-m", "pytest", "--rootdir", str(folder), "-q", "--tb=no"),
                *("-p", "no:cacheprovider", "--junitxml", "junit.xml", *ARMS[arm]),
            ],
            cwd=folder,
            env={
                **{k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")},
                "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
                "PYTHONPATH": os.pathsep.join((str(folder), str(ROOT))),
                "TMPDIR": str(folder),
                "TESTS": str(options.tests),
                "BROKEN": str(program),
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
            check=False,
        )
        seconds = time.monotonic() - begun
        log = folder / "log.txt"
        asked = Counter(log.read_text("utf-8").split()) if log.exists() else Counter()
        good, bad = (_outcomes(folder / "junit.xml", name) for name in ("chrome", "firefox"))
        print(f"{arm:8}{seconds:8.1f}{asked['firefox']:12}  {good:30}{bad}", flush=True)
        if done.returncode not in (0, 1):
            sys.exit(f"{arm}: ended with status {done.returncode}")
        return seconds
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _outcomes(path: Path, browser: str) -> str:
    """Return how many tests of a browser ended in which way, by pytest's own report."""
    found: Counter[str] = Counter()
    for case in ElementTree.parse(path).iter("testcase"):
        if browser in str(case.get("name")):
            found[next((child.tag for child in case if child.tag in _BAD), "passed")] += 1
    return ", ".join(f"{count} {outcome}" for outcome, count in sorted(found.items()))


_BAD = ("failure", "error", "skipped")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    more = parser.add_argument
    more("--tests", type=int, default=60, help="tests of each browser (default 60)")
    more("--dies-after", type=float, default=4.0, help="seconds the broken one lives (default 4)")
    more("--arms", nargs="+", choices=tuple(ARMS), default=["block", "defer", "none"])
    options = parser.parse_args()
    print(described())
    print(
        f"\n{options.tests} tests of each browser; the broken one dies"
        f" after {options.dies_after:g} s\n\n{'arm':8}{'wall s':>8}{'starts':>12}  "
        f"{'tests of the good browser':30}tests of the broken one",
        flush=True,
    )
    walls = {arm: run(arm, options) for arm in options.arms}
    if "none" not in walls:
        return
    print()
    for arm in ("block", "defer"):
        if arm in walls:
            ratio = walls["none"] / walls[arm]
            met = "met" if ratio >= BAR else "NOT MET"
            print(f"{arm}: {ratio:.1f} times less than without circuits (bar {BAR:g}: {met})")
    print(f"load at the end: {' '.join(f'{load:.1f}' for load in os.getloadavg())}")


if __name__ == "__main__":
    main()
