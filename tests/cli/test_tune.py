"""``pytest-resilience tune``: proposes settings of circuits, and writes them where asked to."""

from __future__ import annotations

import builtins
import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from pytest_resilience.cli import ExitCode
from pytest_resilience.core.circuit import CircuitState, Transition
from pytest_resilience.core.events import ATTEMPT, CIRCUIT_TRANSITION, Attempt
from pytest_resilience.store.history import History, clock_us
from pytest_resilience.store.spool import Spool, prepare

Run = Callable[..., Result]

THRESHOLD, PAUSE = "resilience_circuit_threshold", "resilience_circuit_half_open_after"


def session(folder: Path, name: str, outcomes: str, outages: int = 0) -> Path:
    """Return the spool of a run of attempts of 10 s: ``i`` fails by the infrastructure.

    Each of so many circuits is open for 7 to 8 s.
    """
    begun_us = clock_us() - 20_000_000_000
    spool = Spool(prepare(folder), session_id=name, worker="gw0", now_us=lambda: begun_us)
    for number, letter in enumerate(outcomes):
        failed = {"outcome": "rerun", "error_type": "connection", "infrastructure": True}
        attempt = Attempt(
            started_us=begun_us + number * 10_000_000,
            duration_s=10.0,
            severity="high",
            **(failed if letter == "i" else {}),
        )
        spool.emit(ATTEMPT, {"nodeid": f"t{number}", **attempt.to_dict()})
    path = ((0, "closed", "open"), (7, "open", "half-open"), (7.5, "half-open", "open"),
            (8, "open", "half-open"), (9, "half-open", "closed"))  # fmt: skip
    for circuit in range(outages):
        for generation, (at, before, after) in enumerate(path, start=1):
            move = Transition(
                f"grid{circuit}", "endpoint", generation, CircuitState(before),
                CircuitState(after), "", at,
            )  # fmt: skip
            changed_us = begun_us + 10**9 + round(at * 1e6)
            spool.emit(CIRCUIT_TRANSITION, {**move.to_dict(), "changed_us": changed_us})
    spool.close()
    return spool.path


@pytest.fixture(scope="module")
def histories(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two histories that speak for opening sooner; in one of them are outages of 7 to 8 s."""
    folder = tmp_path_factory.mktemp("histories")
    runs = [session(folder, f"s{n}", "i." * 6 + "i" * 30 + ".") for n in range(4)]
    History(folder / "failures.duckdb").merge(runs)
    shutil.copy(folder / "failures.duckdb", folder / "outages.duckdb")
    runs = [session(folder, f"o{n}", "." * 9, outages=3) for n in range(4)]
    History(folder / "outages.duckdb").merge(runs)
    return folder


@pytest.fixture
def here(tmp_path: Path, histories: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, of a project in whose history tests failed in a row."""
    folder = tmp_path / "shop"
    (folder / ".resilience").mkdir(parents=True)
    shutil.copy(histories / "failures.duckdb", folder / ".resilience" / "history.duckdb")
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def outages(here: Path, histories: Path) -> Path:
    """The same, with outages in the history."""
    shutil.copy(histories / "outages.duckdb", here / ".resilience" / "history.duckdb")
    return here


#: A configuration of pytest before and after the threshold becomes 3, by name of the file.
FILES = {
    "pytest.ini": (
        "[pytest]\naddopts = -ra\n  -q\n\n; the end\n",
        "[pytest]\naddopts = -ra\n  -q\n\n; the end\nresilience_circuit_threshold = 3\n",
    ),
    "pytest.ini, set": (
        f"[pytest]\n{THRESHOLD}:  6  \nx = 1",
        f"[pytest]\n{THRESHOLD}:  3\nx = 1",
    ),
    "pytest.ini, no end of line": ("[pytest]", f"[pytest]\n{THRESHOLD} = 3\n"),
    "pytest.ini, empty": ("", f"[pytest]\n{THRESHOLD} = 3\n"),
    "pytest.ini, nothing but a comment": (
        "# [pytest] begins where this is",
        f"# [pytest] begins where this is\n[pytest]\n{THRESHOLD} = 3\n",
    ),
    "pytest.ini, with other ends of line": (
        "[pytest]\r\nx = 1",
        f"[pytest]\r\nx = 1\r\n{THRESHOLD} = 3\r\n",
    ),
    ".pytest.ini": ("[pytest]\n", f"[pytest]\n{THRESHOLD} = 3\n"),
    "tox.ini": (
        f"[tox]\nx=1\n\n[pytest]  # ours\ny=2\n\n\n[testenv]\n{THRESHOLD} = 9\n",
        f"[tox]\nx=1\n\n[pytest]  # ours\ny=2\n{THRESHOLD} = 3\n\n\n[testenv]\n{THRESHOLD} = 9\n",
    ),
    "setup.cfg": (
        "[metadata]\r\nname = x\r\n[tool:pytest]\r\ntestpaths = tests\r\n",
        f"[metadata]\r\nname = x\r\n[tool:pytest]\r\ntestpaths = tests\r\n{THRESHOLD} = 3\r\n",
    ),
    "pyproject.toml": (
        '[project]\nname = "x"   # ours\n\n[tool.pytest.ini_options]\naddopts = """\n  -ra"""'
        "\n\n[tool.ruff]\nline-length=1\n",
        '[project]\nname = "x"   # ours\n\n[tool.pytest.ini_options]\naddopts = """\n  -ra"""\n'
        f"{THRESHOLD} = 3\n\n[tool.ruff]\nline-length=1\n",
    ),
    "pyproject.toml, set as text": (
        f'[tool.pytest.ini_options]\n{THRESHOLD} = "6"  # a guess\nx = [ 1,2 ]\n',
        f'[tool.pytest.ini_options]\n{THRESHOLD} = "3"  # a guess\nx = [ 1,2 ]\n',
    ),
    "pyproject.toml, set as a number": (
        f"[tool]\n[tool.pytest]\n[tool.pytest.ini_options]\n'{THRESHOLD}'=6\n",
        f"[tool]\n[tool.pytest]\n[tool.pytest.ini_options]\n'{THRESHOLD}'=3\n",
    ),
    "pyproject.toml, with other ends of line": (
        "[tool.pytest.ini_options]\r\nx = 1\r\n",
        f"[tool.pytest.ini_options]\r\nx = 1\r\n{THRESHOLD} = 3\r\n",
    ),
    "pyproject.toml, with types": (
        '[tool.pytest]\naddopts = ["-ra"]\n',
        f'[tool.pytest]\naddopts = ["-ra"]\n{THRESHOLD} = "3"\n',
    ),
    "pytest.toml": (
        '[pytest]\naddopts = ["-ra"]\n',
        f'[pytest]\naddopts = ["-ra"]\n{THRESHOLD} = "3"\n',
    ),
    ".pytest.toml": ("", f'[pytest]\n{THRESHOLD} = "3"\n'),
}


def file_of(name: str) -> str:
    return name.partition(",")[0]


class TestProposing:
    """Without --write nothing is changed."""

    def test_a_row_for_each_setting_with_its_reason(self, run: Run, here: Path) -> None:
        run("tune")
        before = sorted(here.rglob("*"))
        result = run("tune")
        assert result.exit_code == ExitCode.OK
        head, threshold, pause = result.stdout.splitlines()
        assert head.split() == ["setting", "now", "proposed", "state", "reason"]
        assert threshold.split()[:4] == [THRESHOLD, "5", "3", "change"]
        assert "28 rows of failures in 4 runs" in threshold
        assert pause.split()[:5] == [PAUSE, "2", "2", "insufficient", "data"]
        assert pause.rstrip().endswith(
            "it takes 8 outages in 3 runs to tell; the history holds 0 in 0"
        )
        assert result.stderr == (
            "nothing was written; --write puts this into a configuration file\n"
        )
        assert sorted(here.rglob("*")) == before

    def test_the_json_says_the_same(self, run: Run, outages: Path) -> None:
        ini = outages / "pytest.ini"
        ini.write_text(f"[pytest]\n{PAUSE} = 8\n")
        told = json.loads(run("tune", "--format", "json").stdout)
        assert (told["config"], told["written"]) == (str(ini), False)
        threshold, pause = told["settings"]
        assert (threshold["ini"], threshold["current"], threshold["proposed"]) == (THRESHOLD, 5, 3)
        assert (pause["ini"], pause["evidence"]["outages"]) == (PAUSE, 12)
        assert (pause["state"], pause["proposed"]) == ("keep", 8)
        assert threshold["evidence"]["worker_seconds"]["3"] > 0

    def test_what_holds_now_is_read_from_the_configuration(self, run: Run, outages: Path) -> None:
        (outages / "tox.ini").write_text(
            f"[pytest]\n{THRESHOLD} = 8\n{PAUSE} = 16\nresilience_circuit_recovery_timeout = 40\n"
        )
        threshold, pause = json.loads(run("tune", "--format", "json").stdout)["settings"]
        assert (threshold["current"], threshold["proposed"]) == (8, 4)
        assert (pause["current"], pause["proposed"]) == (16, 8)

    def test_the_days_to_look_back_can_be_given(self, run: Run, here: Path) -> None:
        db = str(here / ".resilience" / "history.duckdb")
        assert run("tune", "--days", "30", "--db", db).exit_code == ExitCode.OK
        assert run("tune", "--days", "0").exit_code == ExitCode.USAGE

    @pytest.mark.parametrize("arguments", [(), ("--write",), ("--format", "json")])
    def test_too_little_data_is_a_refusal(
        self, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
    ) -> None:
        monkeypatch.chdir(tmp_path)
        ini = tmp_path / "pytest.ini"
        ini.write_text("[pytest]\n")
        store = tmp_path / ".resilience"
        History(store / "history.duckdb").merge([session(store, "s", "i.i.")])
        result = run("tune", *arguments)
        assert result.exit_code == ExitCode.FINDINGS
        assert result.stderr.startswith("insufficient data: nothing is proposed")
        assert "it takes 20 rows of failures in 3 runs to tell; the history holds 2 in 1" in (
            result.stdout
        )
        assert ini.read_text() == "[pytest]\n"


class TestWriting:
    """With --write the keys that change are set, and nothing else."""

    @pytest.mark.parametrize("name", FILES)
    def test_every_other_byte_stays(self, run: Run, here: Path, name: str) -> None:
        before, after = FILES[name]
        path = here / file_of(name)
        path.write_bytes(before.encode())
        result = run("tune", "--write")
        assert result.exit_code == ExitCode.OK, result.stderr
        assert path.read_bytes() == after.encode()
        assert result.stderr == f"written to {path}\n"

    @pytest.mark.parametrize("name", FILES)
    def test_pytest_reads_what_was_written(self, run: Run, here: Path, name: str) -> None:
        """A key of that name that some plugin declares has the new value."""
        (here / file_of(name)).write_bytes(FILES[name][0].encode())
        run("tune", "--write")
        (here / "conftest.py").write_text(
            "def pytest_addoption(parser):\n"
            f"    parser.addini({THRESHOLD!r}, '', default=None)\n"
            "    for other in ('x', 'y', 'testpaths'):\n"
            "        try:\n"
            "            parser.addini(other, '', default=None)\n"
            "        except ValueError:\n"
            "            pass\n"
            "def pytest_configure(config):\n"
            "    import pathlib\n"
            f"    pathlib.Path('read').write_text(config.getini({THRESHOLD!r}))\n"
        )
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"],
            env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == pytest.ExitCode.NO_TESTS_COLLECTED, done.stdout + done.stderr
        assert (here / "read").read_text() == "3"

    def test_both_settings_are_written_and_then_nothing_more(self, run: Run, outages: Path) -> None:
        ini = outages / "pytest.ini"
        ini.write_text(f"[pytest]\n{PAUSE} = 16\nx = 1\n")
        assert run("tune", "--write").stderr == f"written to {ini}\n"
        once = ini.read_text()
        assert f"{PAUSE} = 8\nx = 1\n{THRESHOLD} = " in once
        for _ in range(3):
            run("tune", "--write")
        settled = ini.read_text()
        assert run("tune", "--write").stderr == "nothing to change\n"
        assert ini.read_text() == settled

    def test_the_file_keeps_its_rights_and_its_links(self, run: Run, here: Path) -> None:
        real = here / "real.ini"
        real.write_text("[pytest]\n")
        real.chmod(0o640)
        (here / "pytest.ini").symlink_to(real)
        assert run("tune", "--write").exit_code == ExitCode.OK
        assert (here / "pytest.ini").is_symlink()
        assert THRESHOLD in real.read_text()
        assert stat.S_IMODE(real.stat().st_mode) == 0o640
        assert [path.name for path in here.iterdir() if path.name.startswith(".real")] == []

    def test_another_file_can_be_named(self, run: Run, here: Path) -> None:
        (here / "pytest.ini").write_text("[pytest]\n")
        other = here / "ci.ini"
        other.write_text("[pytest]\n")
        assert run("tune", "--write", "--config", str(other)).exit_code == ExitCode.OK
        assert THRESHOLD in other.read_text()
        assert (here / "pytest.ini").read_text() == "[pytest]\n"

    def test_without_a_configuration_it_says_what_to_write(self, run: Run, here: Path) -> None:
        result = run("tune", "--write")
        assert (result.exit_code, result.stdout) == (ExitCode.USAGE, "")
        assert f"no configuration of pytest in {here} or above it" in result.stderr
        assert f"To be written: {THRESHOLD} = 3" in result.stderr

    @pytest.mark.parametrize(
        ("name", "text"),
        [
            pytest.param("pytest.ini", f"[pytest]\n{THRESHOLD} =\n  6\n", id="several-lines"),
            pytest.param(
                "pyproject.toml",
                f'tool.pytest.ini_options = {{ x = 1, "{THRESHOLD}" = 6 }}\n',
                id="inline-table",
            ),
            pytest.param("pytest.toml", 'pytest.addopts = ["-ra"]\n', id="dotted-keys"),
        ],
    )
    def test_what_cannot_be_edited_safely_is_left_to_a_person(
        self, run: Run, here: Path, name: str, text: str
    ) -> None:
        path = here / name
        path.write_text(text)
        result = run("tune", "--write")
        assert (result.exit_code, result.stdout) == (ExitCode.USAGE, "")
        assert f"{path} was left as it is, because" in result.stderr
        assert f"{THRESHOLD} = " in result.stderr
        assert path.read_text() == text

    def test_without_the_editor_for_toml_it_says_how_to_get_it(
        self, run: Run, here: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = here / "pyproject.toml"
        path.write_text("[tool.pytest.ini_options]\n")
        real = builtins.__import__

        def without(name: str, *arguments: Any) -> Any:
            if name == "tomlkit":
                raise ImportError(name)
            return real(name, *arguments)

        monkeypatch.setattr(builtins, "__import__", without)
        assert run("tune").exit_code == ExitCode.OK
        result = run("tune", "--write")
        assert (result.exit_code, result.stdout) == (ExitCode.USAGE, "")
        assert "pip install 'pytest-resilience[tune]'" in result.stderr
        assert f"write under [tool.pytest.ini_options]: {THRESHOLD} = 3" in result.stderr
        assert path.read_text() == "[tool.pytest.ini_options]\n"

    def test_a_file_that_cannot_be_written_is_left(
        self, run: Run, here: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = here / "pytest.ini"
        path.write_text("[pytest]\n")

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "replace", full)
        result = run("tune", "--write")
        assert result.exit_code == ExitCode.USAGE
        assert "because No space left on device" in result.stderr
        assert sorted(p.name for p in here.iterdir()) == [".resilience", "pytest.ini"]
        assert path.read_text() == "[pytest]\n"
