"""Links lead somewhere, pictures are there, and pages can be found."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, PAGES, ROOT, anchors, links, name_of

#: Absolute paths that only exist on the machine of whoever wrote the page.
MACHINE_PATHS = re.compile(r"(?<![\w.:/-])/(?:home|Users|tmp|opt|srv|mnt|w[o]rk|r[o]ot)/\w")

each_page = pytest.mark.parametrize("page", PAGES, ids=name_of)


def _resolve(page: Path, target: str) -> tuple[Path, str]:
    path, _, anchor = target.partition("#")
    return ((page.parent / path).resolve() if path else page), anchor


def _internal(page: Path) -> list[str]:
    return [target for _, target in links(page) if "://" not in target]


@each_page
def test_every_link_leads_to_a_file_of_the_repository(page: Path) -> None:
    missing = [target for target in _internal(page) if not _resolve(page, target)[0].exists()]
    assert missing == []


@each_page
def test_every_anchor_is_a_heading(page: Path) -> None:
    missing = []
    for target in _internal(page):
        where, anchor = _resolve(page, target)
        if anchor and where.suffix == ".md" and anchor not in anchors(where):
            missing.append(target)
    assert missing == []


@each_page
def test_no_page_holds_a_path_of_somebodys_machine(page: Path) -> None:
    lines = page.read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if MACHINE_PATHS.search(line)] == []


def test_every_page_is_reached_from_the_index() -> None:
    found, waiting = set(), [DOCS / "index.md"]
    while waiting:
        page = waiting.pop()
        if page in found or page.suffix != ".md":
            continue
        found.add(page)
        waiting += [_resolve(page, target)[0] for target in _internal(page)]
    assert set(DOCS.rglob("*.md")) - found == set()


def test_every_picture_is_shown_somewhere_and_is_a_png() -> None:
    shown = {
        _resolve(page, target)[0] for page in PAGES for is_image, target in links(page) if is_image
    }
    pictures = set((DOCS / "images").iterdir())
    assert shown == pictures
    for picture in pictures:
        assert picture.read_bytes().startswith(b"\x89PNG\r\n\x1a\n"), picture.name


def test_the_readme_names_scripts_that_can_be_run() -> None:
    named = set(re.findall(r"\bscripts/\w+", (ROOT / "README.md").read_text(encoding="utf-8")))
    assert named == {"scripts/demo", "scripts/test"}
    for script in named:
        assert (ROOT / script).stat().st_mode & 0o111, script


@pytest.mark.parametrize(
    ("line", "found"),
    [
        pytest.param("see /home/x", True, id="path"),
        pytest.param("https://example.org/home/x", False, id="part-of-a-url"),
        pytest.param("give it /dev/shm", False, id="of-every-machine"),
        pytest.param("examples/home/x", False, id="relative"),
    ],
)
def test_such_a_path_is_told_from_what_looks_like_one(line: str, found: bool) -> None:
    assert bool(MACHINE_PATHS.search(line)) is found
