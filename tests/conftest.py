"""What several test folders share: running an inner suite and reading what became of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["pytester"]

#: Whether more of the same is asked for than each run needs, by ``ACCEPTANCE=full`` in the
#: environment: other seeds, other modes, repetitions.
FULL = os.environ.get("ACCEPTANCE") == "full"

# Machines differ, and a slow one is no finding.
settings.register_profile("steady", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")


@dataclass
class SuiteRun:
    """One finished run of an inner suite."""

    status: int
    output: str
    folder: Path
    summary: dict[str, Any]

    @property
    def counts(self) -> dict[str, int]:
        """Verdicts that occurred, with their numbers."""
        return {name: n for name, n in self.summary["counts"].items() if n}

    @property
    def verdicts(self) -> dict[str, str]:
        """Verdict by test name, without the file it stands in."""
        return {_short(test["nodeid"]): test["verdict"] for test in self.summary["tests"]}

    def attempts(self, name: str) -> list[dict[str, Any]]:
        """The attempts of the test called `name`."""
        found = [t for t in self.summary["tests"] if _short(t["nodeid"]) == name]
        assert len(found) == 1, f"{name}: {len(found)} results\n{self.output}"
        attempts: list[dict[str, Any]] = found[0]["attempts"]
        return attempts

    def log(self, name: str = "log.txt") -> list[str]:
        """Lines the inner suite wrote to a file of its own."""
        path = self.folder / name
        return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def _short(nodeid: str) -> str:
    return nodeid.partition("::")[2]


RunSuite = Callable[..., SuiteRun]


@pytest.fixture
def run_suite(tmp_path: Path) -> RunSuite:
    """Run the suite made of `files` in a process of its own, with --resilience."""

    def run(
        files: dict[str, str] | str,
        *args: str,
        plugins: Sequence[str] = (),
        resilience: bool = True,
        autoload: bool = False,
        env: dict[str, str] | None = None,
        timeout: float = 600,
        interpreter: Sequence[str] = (sys.executable, "-m", "pytest"),
    ) -> SuiteRun:
        sources = {"test_it.py": files} if isinstance(files, str) else files
        for name, text in sources.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(_dedent(text), encoding="utf-8")
        command = [*interpreter, "--rootdir", str(tmp_path), "-p", "no:cacheprovider"]
        if "--lf" in args or "--sw" in args or "--ff" in args:
            command.remove("no:cacheprovider")
            command.remove("-p")
        # Another order in each run is something to ask for.
        command += ["-p", "no:randomly" if autoload else "pytest_resilience.plugin.main"]
        for plugin in plugins:
            command += ["-p", plugin]
        if resilience:
            command += ["--resilience", "--resilience-json", "summary.json"]
        json_path = tmp_path / "summary.json"
        json_path.unlink(missing_ok=True)
        surroundings = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
        if not autoload:
            surroundings["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
        done = subprocess.run(
            [*command, *args],
            cwd=tmp_path,
            env={**surroundings, "COLUMNS": "160", **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            check=False,
            preexec_fn=_interruptible,
        )
        summary = json.loads(json_path.read_text(encoding="utf-8")) if json_path.exists() else {}
        return SuiteRun(done.returncode, done.stdout, tmp_path, summary)

    return run


def _interruptible() -> None:
    """Let SIGINT interrupt the inner run, also where the outer one ignores it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _dedent(text: str) -> str:
    import textwrap

    return textwrap.dedent(text)
