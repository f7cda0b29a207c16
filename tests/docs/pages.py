"""The pages of the documentation, taken apart: headings, links, tables, blocks of code.

A comment before a block of code says what the tests do with it:

    <!-- file: NAME -->      write it to a file of that name
    <!-- run -->             run its lines that begin with "$"; they end with status 0,
                             and the other lines are found in the output, in order
    <!-- run: exit N -->     the same, but the last command ends with status N
    <!-- run: any exit -->   the same, but no status is wrong
    <!-- query: N rows -->   ask the history of the page's runs; "any" for any number
    <!-- example -->         it cannot be run here

and these stand alone:

    <!-- plugins: NAME -->   other plugins that pytest loads on this page
    <!-- hidden-file: NAME and its text -->
    <!-- hidden-run: COMMAND -->
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
REFERENCE = DOCS / "reference"
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "examples").glob("*/README.md")),
    *sorted(DOCS.rglob("*.md")),
]
#: Pages whose code is run.
LIVE_PAGES = [
    ROOT / "README.md",
    *sorted((DOCS / "tutorial").glob("*.md")),
    *sorted((DOCS / "how-to").glob("*.md")),
]

_STEP = re.compile(
    r"^<!-- (?P<comment>[\w-]+)(?:: (?P<argument>[^\n]*?))?(?:\n(?P<body>.*?))? ?-->$"
    r"|^```(?P<language>\w*)\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^(#+) (.+)$", re.MULTILINE)
_LINK = re.compile(r"(!?)\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^)\s]+)\)")


@dataclass(frozen=True)
class Step:
    """One thing that a page tells to do.

    Attributes:
        action: What its comment says; "" for code without one.
        argument: What stands after the colon.
        language: Of the block of code, "" if hidden.
    """

    action: str
    argument: str
    language: str
    text: str
    line: int


def name_of(page: Path) -> str:
    """Return the name of a page as test ids show it."""
    return page.relative_to(ROOT).as_posix()


def steps(page: Path) -> Iterator[Step]:
    """Yield the steps of a page in order."""
    text = page.read_text(encoding="utf-8")
    action = argument = ""
    for match in _STEP.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        if match["comment"] is None:
            yield Step(action, argument, match["language"], match["code"], line)
            action = argument = ""
        elif match["comment"] in ("plugins", "hidden-file", "hidden-run"):
            body = match["body"] or ""
            yield Step(match["comment"], match["argument"] or "", "", body, line)
        else:
            action, argument = match["comment"], match["argument"] or ""


def prose(page: Path) -> str:
    """Return the text of a page without its blocks of code."""
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, made as GitHub makes them."""
    found: set[str] = set()
    for _level, heading in _HEADING.findall(prose(page)):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        anchor = re.sub(r"[^\w\- ]", "", text).strip().replace(" ", "-")
        number = 1
        while anchor in found:
            anchor, number = f"{anchor.rstrip('-0123456789')}-{number}", number + 1
        found.add(anchor)
    return found


def links(page: Path) -> list[tuple[bool, str]]:
    """Return (whether it is an image, target) of every link of a page."""
    return [(bool(mark), target) for mark, target in _LINK.findall(prose(page))]


def sections(page: Path, level: int = 2) -> dict[str, str]:
    """Return the text under each heading of `level`, by heading without backticks."""
    text = page.read_text(encoding="utf-8")
    marks = "#" * level
    parts = re.split(rf"^{marks} (.+)$", text, flags=re.MULTILINE)
    bodies = (re.split(rf"^#{{1,{level}}} ", body, flags=re.MULTILINE)[0] for body in parts[2::2])
    return {title.strip().strip("`"): body for title, body in zip(parts[1::2], bodies, strict=True)}


def tables(text: str) -> list[list[dict[str, str]]]:
    """Return the tables in `text`, each row as column to cell, without backticks around it."""
    found: list[list[dict[str, str]]] = []
    for block in re.findall(r"(?:^\|.*\|$\n?)+", text, flags=re.MULTILINE):
        rows = [_cells(line) for line in block.strip().splitlines()]
        head, body = rows[0], rows[2:]
        found.append([dict(zip(head, row, strict=True)) for row in body])
    return found


def table(page: Path, first_column: str) -> list[dict[str, str]]:
    """Return the one table of `page` whose first column is called `first_column`."""
    matching = [
        rows
        for rows in tables(page.read_text(encoding="utf-8"))
        if rows and next(iter(rows[0])) == first_column
    ]
    assert len(matching) == 1, f"{name_of(page)}: {len(matching)} tables of {first_column!r}"
    return matching[0]


def _cells(line: str) -> list[str]:
    cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
    return [
        cell.strip("`") if cell.count("`") == 2 and cell.startswith("`") else cell for cell in cells
    ]


def column(rows: list[dict[str, str]], name: str) -> list[str]:
    """Return what a table has in one column."""
    return [row[name] for row in rows]


def text_of(page: str) -> str:
    """Return the text of a page of the reference."""
    return (REFERENCE / page).read_text(encoding="utf-8")
