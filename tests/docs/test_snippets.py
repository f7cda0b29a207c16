"""What the documentation shows is run, page by page, as a reader would do it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.docs.pages import LIVE_PAGES, PAGES, ROOT, Step, name_of, steps

#: Languages of blocks that a reader types, so that each of them has to say whether it is run.
TYPED = ("console", "python", "sql")
ACTIONS = ("file", "run", "query", "example", "plugins", "hidden-file", "hidden-run")

_COMMANDS = {
    "python": "",
    "pytest": "-m pytest -p no:cacheprovider -p pytest_resilience.plugin.main",
    "pytest-resilience": "-m pytest_resilience.cli",
}


class Desk:
    """A reader's working folder: the steps of a page are done in it one after the other."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "page"
        self.folder.mkdir()
        self._commands = folder / "bin"
        self._commands.mkdir()
        self._plugins = ""

    def do(self, step: Step) -> None:
        """Do one step; AssertionError tells what came out otherwise."""
        if step.action in ("file", "hidden-file"):
            (self.folder / step.argument).write_text(step.text, encoding="utf-8")
        elif step.action == "plugins":
            self._plugins = "".join(f" -p {name}" for name in step.argument.split())
        elif step.action == "hidden-run":
            self._shell(step.argument)
        elif step.action == "query":
            self._query(step)
        elif step.action == "run":
            self._run(step)

    def _run(self, step: Step) -> None:
        wanted = {"": 0, "any exit": None}.get(step.argument, -1)
        if wanted == -1:
            wanted = int(step.argument.removeprefix("exit "))
        commands = _commands(step.text)
        for number, (command, shown) in enumerate(commands, start=1):
            status, output = self._shell(command)
            expected = wanted if number == len(commands) else 0
            assert expected in (None, status), f"$ {command}: status {status}\n{output}"
            _compare(shown, output)

    def _shell(self, command: str) -> tuple[int, str]:
        for name, arguments in _COMMANDS.items():
            extra = self._plugins if name == "pytest" else ""
            script = self._commands / name
            script.write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments}{extra} "$@"\n')
            script.chmod(0o755)
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", command],
            cwd=self.folder,
            env={
                **inherited,
                "PATH": f"{self._commands}{os.pathsep}{os.environ['PATH']}",
                "PYTHONPATH": str(ROOT),
                "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
                "COLUMNS": "80",
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
            check=False,
        )
        return done.returncode, done.stdout

    def _query(self, step: Step) -> None:
        import duckdb

        history = self.folder / ".resilience" / "history.duckdb"
        before = Path.cwd()
        os.chdir(self.folder)
        try:
            if history.exists():
                connection = duckdb.connect(str(history), read_only=True)
            else:
                connection = duckdb.connect()
            with connection:
                rows = connection.execute(step.text).fetchall()
        finally:
            os.chdir(before)
        if step.argument != "any":
            assert len(rows) == int(step.argument.split()[0]), f"{step.text}\n{rows}"


def _commands(text: str) -> list[tuple[str, list[str]]]:
    """Return each command of a console block with the lines of output shown after it."""
    found: list[tuple[str, list[str]]] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        else:
            assert found, f"output before any command: {line}"
            found[-1][1].append(line)
    return found


def _compare(shown: list[str], output: str) -> None:
    """Check that the lines shown occur in `output`, in order."""
    position = 0
    for line in shown:
        if line.strip() in ("", "..."):
            continue
        match = re.compile(_pattern(line)).search(output, position)
        assert match, f"not found, in this order: {line}\n{output}"
        position = match.end()


def _pattern(line: str) -> str:
    """Return a regular expression for a line whose durations, and "...", may be anything."""
    pattern = re.escape(line.strip())
    pattern = re.sub(r"(?:\\\.){3}", ".*", pattern)
    pattern = re.sub(r"\d+(?:\\\.\d+)?\\ m?s\b", r"\\d+(?:\\.\\d+)? m?s", pattern)
    return re.sub(r"(?:\\ )+", r"\\s+", pattern)


def _live(page: Path) -> bool:
    return any(step.action in ("run", "query", "hidden-run") for step in steps(page))


@pytest.mark.parametrize("page", [page for page in LIVE_PAGES if _live(page)], ids=name_of)
def test_what_a_page_tells_to_do_comes_out_as_it_says(page: Path, tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    for step in steps(page):
        try:
            desk.do(step)
        except AssertionError as error:
            raise AssertionError(f"{name_of(page)}, line {step.line}: {error}") from error


@pytest.mark.parametrize("page", LIVE_PAGES, ids=name_of)
def test_every_block_to_type_says_whether_it_is_run(page: Path) -> None:
    silent = [step.line for step in steps(page) if step.language in TYPED and not step.action]
    assert silent == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_comment_asks_for_what_nobody_knows(page: Path) -> None:
    assert {step.action for step in steps(page)} <= {*ACTIONS, ""}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_python_block_is_python(page: Path) -> None:
    for step in steps(page):
        if step.language == "python":
            compile(textwrap.dedent(step.text), f"{name_of(page)}:{step.line}", "exec")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_block_of_code_names_its_language(page: Path) -> None:
    hidden = ("plugins", "hidden-file", "hidden-run")
    bare = [step.line for step in steps(page) if not step.language and step.action not in hidden]
    assert bare == []


@pytest.mark.parametrize(
    ("line", "output", "found"),
    [
        pytest.param("1 passed in 0.1 s", "== 1 passed in 12.5 s ==", True, id="durations-differ"),
        pytest.param("1 passed", "2 passed", False, id="counts-do-not"),
        pytest.param("FAILED t - assert ...", "FAILED  t - assert 1", True, id="dots-are-anything"),
        pytest.param("a.b", "axb", False, id="a-dot-is-a-dot"),
    ],
)
def test_a_line_is_compared_but_for_what_varies(line: str, output: str, found: bool) -> None:
    assert bool(re.search(_pattern(line), output)) is found
