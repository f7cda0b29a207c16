"""The classifier against labelled failures: how often is it right, and does it excuse anybody?

`data/labelled_failures.jsonl` always runs. Larger corpora of recorded failures run as
well where they lie in a folder `shared/corpus` beside the repository.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from pytest_resilience.core.triage import confusion, triage

OWN = Path(__file__).parent / "data" / "labelled_failures.jsonl"
BESIDE = sorted((Path(__file__).resolve().parents[3] / "shared" / "corpus").glob("*.jsonl"))

LAYER_BAR = 0.90
INFRASTRUCTURE_BAR = 0.98


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


def shown(found: Any, title: str, capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        print(f"\n\n{title}\n{found.render()}", end="")  # noqa: T201


@pytest.mark.parametrize("path", [OWN, *BESIDE], ids=lambda path: path.stem)
def test_corpus_is_diagnosed_rightly(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each corpus reaches the bars for itself, and none of its product failures is excused."""
    found = confusion(rows_of(path))
    shown(found, path.stem, capsys)
    assert found.layer_accuracy is not None
    assert found.layer_accuracy >= LAYER_BAR
    assert found.infrastructure_accuracy is None or (
        found.infrastructure_accuracy >= INFRASTRUCTURE_BAR
    )
    assert found.excused == []


def test_own_failures_cover_every_layer_with_enough_rows() -> None:
    """The file that always runs is large and varied enough to mean something."""
    rows = rows_of(OWN)
    assert len(rows) >= 80
    assert len({row["layer"] for row in rows}) == 8
    assert sum(row["infrastructure"] is False for row in rows) >= 30
    assert len({row["id"] for row in rows}) == len(rows)


# What another run, machine, release or vendor would have written instead.
VARIATIONS: dict[str, tuple[str, str]] = {
    "port": (r"(port=|localhost:|:)(\d{4,5})\b", r"\g<1>31999"),
    "session-id": (r"\b[0-9a-f]{32}\b", "ffffffffffffffffffffffffffffffff"),
    "release": (r"\b(?!127\.)\d{2,3}\.\d+\.\d+\.\d+\b", "217.0.9999.1"),
    "read-timeout": (r"read timeout=\d+", "read timeout=117"),
    "addresses": (r"0x[0-9a-f]+", "0xabcdef"),
    "address": (r"127\.0\.0\.1", "localhost"),
    "stack": (r"\Z", "\nStacktrace:\n#0 0x1 tab crashed: disconnected"),
}


@pytest.mark.parametrize(("pattern", "stand_in"), VARIATIONS.values(), ids=VARIATIONS)
@pytest.mark.parametrize("path", [OWN, *BESIDE], ids=lambda path: path.stem)
def test_diagnosis_does_not_hang_on_volatile_text(path: Path, pattern: str, stand_in: str) -> None:
    """Other ports, ids, versions and times change no diagnosis."""
    for row in rows_of(path):
        # A port that is the grid's own usual one says something.
        if "4444" in row["message"]:
            continue
        varied = {**row, "message": re.sub(pattern, stand_in, row["message"])}
        assert triage(varied)["error_type"] == triage(row)["error_type"], row["id"]
