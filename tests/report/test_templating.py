"""What compiling the templates gave is kept, and is never needed."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_resilience.report.templating import cache_folder, environment

NAME = "certificate.html.j2"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


def kept() -> list[Path]:
    return [path for path in cache_folder().rglob("*") if path.is_file()]


def test_a_template_is_compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    import jinja2

    environment().get_template(NAME)
    assert kept()
    monkeypatch.setattr(jinja2.Environment, "compile", None)
    assert environment().get_template(NAME).name == NAME


def test_what_was_kept_of_another_version_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    import jinja2

    environment().get_template(NAME)
    monkeypatch.setattr(jinja2, "__version__", "0.0")
    environment().get_template(NAME)
    assert len({path.parent for path in kept()}) == 2


@pytest.mark.parametrize("content", [b"", b"nonsense", b"j2" * 50], ids=["empty", "text", "cut"])
def test_what_cannot_be_read_is_made_anew(content: bytes) -> None:
    environment().get_template(NAME)
    (path,) = kept()
    path.write_bytes(content)
    assert environment().get_template(NAME).name == NAME
    assert path.read_bytes() != content


@pytest.mark.parametrize("size", [3, 15, 30, 50, 500])
def test_what_was_cut_off_is_made_anew(size: int) -> None:
    environment().get_template(NAME)
    (path,) = kept()
    path.write_bytes(path.read_bytes()[:size])
    assert environment().get_template(NAME).name == NAME
    assert path.stat().st_size > size


def test_a_folder_that_cannot_be_made_is_no_hindrance(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "file"))
    assert environment().get_template(NAME).name == NAME


def test_a_file_that_cannot_be_written_is_no_hindrance(monkeypatch: pytest.MonkeyPatch) -> None:
    from jinja2 import bccache

    def full(*_args: object, **_named: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(bccache.tempfile, "NamedTemporaryFile", full)
    assert environment().get_template(NAME).name == NAME
    assert not kept()
