"""Inner suites: what they are made of, what they told, and what they left behind."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    from tests.conftest import SuiteRun

HERE = Path(__file__).parent
Run = Callable[..., "SuiteRun"]

#: Beside a suite: an application, and what happens only once in a run.
APP = """
        import pathlib

        import faulty_app, lab, pytest
        from selenium.common.exceptions import WebDriverException

        def once():
            try:
                pathlib.Path("once").touch(exist_ok=False)
            except FileExistsError:
                return False
            return True

        @pytest.fixture(scope="session")
        def app():
            server = faulty_app.Server().start()
            yield server.url
            server.stop()
"""
OWN = """
        @pytest.fixture
        def driver():
            driver = lab.launch()
            yield driver
            driver.quit()
"""


def sources(files: dict[str, str]) -> dict[str, str]:
    """Return the texts of an inner suite, where ``@name`` stands for a file of `suites`."""
    texts = {
        name: (HERE / "suites" / f"{text[1:]}.py").read_text("utf-8") if text[:1] == "@" else text
        for name, text in files.items()
    }
    return {"lab.py": (HERE / "lab.py").read_text("utf-8"), **texts}


def with_app(run_browsers: Run, suite: str) -> SuiteRun:
    """Run `suite` beside that application."""
    return run_browsers({"test_it.py": APP + suite, "faulty_app.py": "@faulty_app"})


def told(run: SuiteRun) -> dict[str, Any]:
    """Return what `run` says of each test: its verdict, and its attempts in few words."""
    return {
        name: (verdict, *map(in_short, run.attempts(name)))
        for name, verdict in run.verdicts.items()
    }


def in_short(attempt: dict[str, Any]) -> str:
    """Return outcome, phase, error type and strategy of an attempt, as far as it has them."""
    words = [attempt["outcome"]]
    if attempt["error_type"]:
        words += ["in", attempt["phase"], attempt["error_type"]]
    if attempt["strategy"]:
        words.append(attempt["strategy"])
    return " ".join(words)


def processes_of(temporary: Path) -> list[psutil.Process]:
    """Return the living processes that know of `temporary`, except our own."""
    found = []
    for process in psutil.process_iter():
        try:
            known = [*process.cmdline(), *process.environ().values()]
            if process.status() != psutil.STATUS_ZOMBIE and str(temporary) in " ".join(known):
                found.append(process)
        except psutil.Error:
            continue
    return found


def processes_left(temporary: Path, *, within_s: float = 60.0) -> list[psutil.Process]:
    """Return the processes of an ended inner suite that do not go within `within_s` seconds."""
    deadline = time.monotonic() + within_s
    while (left := processes_of(temporary)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


def kill_all(temporary: Path) -> None:
    """End whatever knows of `temporary`."""
    for process in processes_of(temporary):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def remains(temporary: Path, *, within_s: float = 60.0) -> list[str]:
    """Return what an ended inner suite left behind.

    Processes that were sent SIGKILL get `within_s` seconds to be gone.
    """
    left = processes_left(temporary, within_s=within_s)
    profiles = [
        f"{p.name}: {sorted(file.name for file in p.iterdir())}"
        for p in temporary.iterdir()
        if p.is_dir() and any(p.iterdir())
    ]
    return [*map(str, left), *profiles]


def counted_everywhere(run: SuiteRun) -> list[dict[str, int]]:
    """Return the verdict counts of `run` on its terminal, in JSON, HTML and history."""
    from pytest_resilience.store.history import History

    lines = [line for line in run.output.splitlines() if line.startswith("verdicts: ")]
    line = lines[0] if lines else ""
    terminal = {verdict: int(n) for n, verdict in re.findall(r"(\d+) (\w+)", line)}
    page = (run.folder / ".resilience" / "report.html").read_text("utf-8")
    tile = r'<a href="#verdict=(\w+)"><b>([\d,]+)</b>'
    html = {verdict: int(n.replace(",", "")) for verdict, n in re.findall(tile, page)}
    history = History(run.folder / ".resilience" / "history.duckdb")
    stored = history.counts(run.summary["session"]["session_id"])
    return [
        {verdict: n for verdict, n in counts.items() if n}
        for counts in (terminal, run.summary["counts"], html, stored)
    ]
