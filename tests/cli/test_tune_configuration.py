"""The configuration that ``pytest-resilience tune`` reads, and how it refuses one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from pytest_resilience.cli import ExitCode
from pytest_resilience.cli.configuration import load, locate
from pytest_resilience.exceptions import ConfigurationError

Run = Callable[..., Result]

THRESHOLD = "resilience_circuit_threshold"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


class TestConfiguration:
    """The file that pytest uses is found as pytest finds it."""

    def write(self, folder: Path, **files: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / name.replace("_", ".")).write_text(text)

    @pytest.mark.parametrize(
        ("files", "found"),
        [
            pytest.param({"pytest_ini": "", "tox_ini": "[pytest]\n"}, "pytest.ini", id="own"),
            pytest.param({"tox_ini": "[tox]\n", "setup_cfg": "[tool:pytest]\n"}, "setup.cfg",
                         id="first-that-speaks-of-it"),
            pytest.param({"pyproject_toml": "[project]\n", "tox_ini": "[pytest]\n"}, "tox.ini",
                         id="project-without-it"),
            pytest.param({"pyproject_toml": "[tool.pytest.ini_options]\n",
                          "tox_ini": "[pytest]\n"}, "pyproject.toml", id="project-with-it"),
            pytest.param({"pytest_toml": "", "pytest_ini": ""}, "pytest.toml", id="newest"),
        ],
    )  # fmt: skip
    def test_the_first_of_a_folder(self, tmp_path: Path, files: dict[str, str], found: str) -> None:
        self.write(tmp_path / "a", **files)
        configuration = locate(tmp_path / "a")
        assert configuration is not None
        assert configuration.path == tmp_path / "a" / found

    def test_the_folders_above_are_looked_at(self, tmp_path: Path) -> None:
        self.write(tmp_path / "a", pytest_ini=f"[pytest]\n{THRESHOLD} = 7\n")
        self.write(tmp_path / "a" / "b" / "c", tox_ini="[tox]\n")
        configuration = locate(tmp_path / "a" / "b" / "c")
        assert configuration is not None
        assert configuration.path == tmp_path / "a" / "pytest.ini"
        assert configuration.text_of(THRESHOLD) == "7"

    @pytest.mark.parametrize(
        ("name", "text"),
        [
            pytest.param("pytest.ini", "x\n[pytest\n", id="ini"),
            pytest.param("pyproject.toml", "[tool.pytest\n", id="toml"),
            pytest.param("pytest.ini", "[pytest]\nx = \udce4\n", id="not-utf-8"),
        ],
    )
    def test_a_file_that_cannot_be_read_is_said_plainly(
        self, run: Run, here: Path, name: str, text: str
    ) -> None:
        (here / name).write_bytes(text.encode("utf-8", "surrogateescape"))
        result = run("tune")
        assert (result.exit_code, result.stdout) == (ExitCode.UNREADABLE, "")
        assert f"{here / name} cannot be read: " in result.stderr

    def test_a_value_that_is_not_valid_is_said_plainly(self, run: Run, here: Path) -> None:
        (here / "pytest.ini").write_text(f"[pytest]\n{THRESHOLD} = five\n")
        result = run("tune")
        assert (result.exit_code, result.stdout) == (ExitCode.UNREADABLE, "")
        assert f"{here / 'pytest.ini'}: {THRESHOLD}: 'five' is not valid" in result.stderr

    def test_a_file_without_a_word_of_pytest_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "other.ini"
        path.write_text("[other]\n")
        with pytest.raises(ConfigurationError, match=r"expected a section \[pytest\]"):
            load(path)
        with pytest.raises(ConfigurationError, match="cannot be read"):
            load(tmp_path / "none.ini")
