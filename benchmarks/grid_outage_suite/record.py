"""A plugin that writes down every report at once: a run that is cut off has told what it did."""

import json
from pathlib import Path

HERE = Path(__file__).parent


def pytest_collection_finish(session):
    (HERE / "collected.json").write_text(json.dumps([item.nodeid for item in session.items]))


def pytest_runtest_logreport(report):
    line = {"nodeid": report.nodeid, "when": report.when, "outcome": report.outcome}
    with (HERE / "reports.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")
