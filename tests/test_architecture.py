"""The house rules, as contracts: who imports whom, what loads when, what every module says."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import pytest_resilience

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "pytest_resilience"
MODULES = sorted(PACKAGE.rglob("*.py"))
LINE_LIMIT = 400

#: Slow to import; each costs every run of every user who does not need it.
HEAVY = ("selenium", "duckdb", "psutil", "jinja2", "click", "rich", "filelock", "urllib3")

#: What the rooms of pure decisions may not ask: time, chance, and the machine.
WORLDLY = {
    "datetime", "os", "random", "secrets", "socket", "subprocess", "sys", "tempfile", "time",
    "uuid",
}  # fmt: skip

#: Absolute paths of a machine somebody worked on; put together so as not to be found here.
MACHINE_PATHS = re.compile(rb"(?<![\w.-])/(?:" + b"|".join((b"work", b"root")) + rb")/")

each_module = pytest.mark.parametrize(
    "module", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix()
)


def tree(module: Path) -> ast.Module:
    return ast.parse(module.read_text(encoding="utf-8"), filename=str(module))


def imported(module: Path) -> set[str]:
    """Return the top-level names of all modules that `module` imports, wherever it does."""
    names: set[str] = set()
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            names.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.partition(".")[0])
    return names


def loaded_by(statement: str) -> set[str]:
    """Return the names of all modules a new interpreter holds after `statement`."""
    done = subprocess.run(
        [sys.executable, "-c", f"{statement}\nimport json, sys\nprint(json.dumps([*sys.modules]))"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(json.loads(done.stdout))


@pytest.fixture(scope="module")
def loaded_with_plugin() -> set[str]:
    return loaded_by("import pytest_resilience.plugin.main")


def published_files() -> Iterator[Path]:
    """Return the files of the repository: all that git knows or would add."""
    listing = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-z", "-co", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    paths = (ROOT / name for name in listing.stdout.split("\0") if name)
    return (path for path in paths if path.is_file())


class TestImports:
    """Imports point down, and heavy things load when they are needed."""

    def test_the_import_contracts_are_kept(self) -> None:
        if importlib.util.find_spec("importlinter") is None and "CI" not in os.environ:
            pytest.skip("import-linter is not installed: pip install -e '.[dev]'")
        contracts = (ROOT / "pyproject.toml").read_text("utf-8").count("[[tool.importlinter.con")
        done = subprocess.run(
            [
                sys.executable,
                "-c",
                "from importlinter.cli import lint_imports_command as main; main()",
                "--no-cache",
            ],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        assert f"{contracts} kept, 0 broken" in done.stdout

    @pytest.mark.parametrize("heavy", HEAVY)
    def test_a_run_without_the_option_does_not_load(
        self, heavy: str, loaded_with_plugin: set[str]
    ) -> None:
        assert heavy not in loaded_with_plugin

    def test_a_run_without_the_option_loads_none_of_the_rooms_behind_the_plugin(
        self, loaded_with_plugin: set[str]
    ) -> None:
        ours = {name for name in loaded_with_plugin if name.startswith("pytest_resilience.")}
        assert ours <= {
            "pytest_resilience.config",
            "pytest_resilience.exceptions",
            "pytest_resilience.plugin",
            "pytest_resilience.plugin.distribution",
            "pytest_resilience.plugin.main",
            "pytest_resilience.options",
            "pytest_resilience.plugin.markers",
        }

    def test_importing_the_package_loads_none_of_its_modules(self) -> None:
        loaded = loaded_by("import pytest_resilience")
        assert "pytest_resilience" in loaded
        assert not [name for name in loaded if name.startswith("pytest_resilience.")]

    @pytest.mark.parametrize(
        "module",
        [*sorted((PACKAGE / "core").rglob("*.py")), PACKAGE / "engine.py"],
        ids=lambda path: path.relative_to(PACKAGE).as_posix(),
    )
    def test_decisions_ask_neither_clock_nor_chance_nor_machine(self, module: Path) -> None:
        assert imported(module) & WORLDLY == set()


class TestModules:
    """What every module of the package says and is."""

    @each_module
    def test_it_says_what_it_is_for_and_what_always_holds(self, module: Path) -> None:
        assert "Invariant" in (ast.get_docstring(tree(module)) or "")

    @each_module
    def test_it_is_no_hall(self, module: Path) -> None:
        assert len(module.read_text(encoding="utf-8").splitlines()) <= LINE_LIMIT

    @each_module
    def test_it_changes_no_global_names(self, module: Path) -> None:
        assert [node.names for node in ast.walk(tree(module)) if isinstance(node, ast.Global)] == []

    @each_module
    def test_its_annotations_are_not_evaluated(self, module: Path) -> None:
        body = tree(module).body
        bare = all(isinstance(node, ast.Expr) for node in body)
        futures = [n for n in body if isinstance(n, ast.ImportFrom) and n.module == "__future__"]
        assert bare or [alias.name for node in futures for alias in node.names] == ["annotations"]

    def test_none_is_a_drawer_for_odds_and_ends(self) -> None:
        drawers = {"utils", "helpers", "misc", "common"}
        assert drawers.isdisjoint(module.stem for module in MODULES)

    def test_the_check_reads_the_package_it_speaks_of(self) -> None:
        assert Path(pytest_resilience.__file__) in MODULES


class TestPublicNames:
    """What users import from the top."""

    @pytest.mark.parametrize("name", pytest_resilience.__all__)
    def test_it_resolves_to_what_its_home_defines(self, name: str) -> None:
        thing: Any = getattr(pytest_resilience, name)
        assert thing.__name__ == name
        assert thing.__module__.startswith("pytest_resilience.")

    def test_type_checkers_are_told_the_same_names(self) -> None:
        (block,) = [node for node in tree(PACKAGE / "__init__.py").body if isinstance(node, ast.If)]
        imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
        told = [alias.name for node in imports for alias in node.names]
        assert sorted(told) == sorted(pytest_resilience.__all__)

    def test_names_are_listed_once_and_in_order(self) -> None:
        assert pytest_resilience.__all__ == sorted(set(pytest_resilience.__all__))

    def test_an_unknown_name_is_an_attribute_error_that_names_it(self) -> None:
        with pytest.raises(AttributeError, match="'Resilence'"):
            _ = pytest_resilience.Resilence


class TestRepository:
    """What is published speaks of the project alone."""

    @pytest.mark.skipif(
        not (ROOT / ".git").exists(), reason="not a git checkout, so nothing tells what is ours"
    )
    def test_no_file_holds_a_path_of_somebodys_machine(self) -> None:
        assert shutil.which("git"), "git is needed to list the files of the repository"
        files = list(published_files())
        assert Path(__file__).resolve() in files
        found = [
            f"{path.relative_to(ROOT)}:{number}"
            for path in files
            for number, line in enumerate(path.read_bytes().splitlines(), start=1)
            if MACHINE_PATHS.search(line)
        ]
        assert found == []

    @pytest.mark.parametrize(
        ("line", "found"),
        [
            pytest.param("see /{}/main", True, id="path"),
            pytest.param('"/{}/x"', True, id="quoted"),
            pytest.param("https://example.org/{}/x", False, id="part-of-a-url"),
            pytest.param("docs/{}/x", False, id="relative"),
            pytest.param("/{}book/x", False, id="longer-name"),
        ],
    )
    @pytest.mark.parametrize("folder", ["work", "root"])
    def test_such_a_path_is_told_from_what_looks_like_one(
        self, folder: str, line: str, found: bool
    ) -> None:
        assert bool(MACHINE_PATHS.search(line.format(folder).encode())) is found
