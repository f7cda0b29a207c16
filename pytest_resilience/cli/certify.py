"""``pytest-resilience certify``: a suite under every fault, and how it comes out of it.

Invariant: each fault has a run of its own, whose records are kept apart from the history of the
project; a run that brings no result is told as such, and certifies nothing.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from pytest_resilience.cli.output import (
    ExitCode,
    fail,
    format_option,
    narrate,
    show_json,
    show_table,
)
from pytest_resilience.core.injection import Fault
from pytest_resilience.core.injection_plan import Injection
from pytest_resilience.exceptions import ConfigurationError, ReportError, StoreError
from pytest_resilience.report.certificate import (
    BROKEN,
    LOST,
    OK,
    Certificate,
    Row,
    empty_row,
    healthy,
    matrix,
    row_of,
    write_certificate_html,
    write_certificate_json,
)

_STYLES = {OK: "green", LOST: "bold red", BROKEN: "bold red"}
#: Exit statuses of pytest with which a run has brought results.
_RAN = (0, 1)
_STRUCK = "SELECT data FROM injections WHERE sid = ?"
_DISTRIBUTING = ("-n", "--numprocesses", "--dist", "--tx")


@click.command("certify", context_settings={"ignore_unknown_options": True})
@click.option("--fault", "specs", multiple=True, metavar="TYPE[:INTENSITY][@POINT]",
              help="Try this one only; may be given several times. [default: all that any suite "
              "can be tried with]")  # fmt: skip
@click.option("--limit", type=click.IntRange(1), default=1800, show_default=True,
              help="Seconds that one run may take.")  # fmt: skip
@click.option("--html", "html_file", type=click.Path(dir_okay=False),
              help="Write the scorecard as a page, too.")  # fmt: skip
@click.option("--json", "json_file", type=click.Path(dir_okay=False),
              help="Write the scorecard as JSON, too.")  # fmt: skip
@click.option("--logs", "logs", type=click.Path(file_okay=False),
              help="Keep what each run printed, and its summary, in this folder.")  # fmt: skip
@format_option
@click.argument("pytest_args", metavar="PYTEST_ARGS", nargs=-1, type=click.UNPROCESSED)
def certify_command(
    specs: tuple[str, ...],
    limit: int,
    html_file: str | None,
    json_file: str | None,
    logs: str | None,
    form: str,
    pytest_args: tuple[str, ...],
) -> None:
    """Run a suite under every fault, and show what it survives.

    PYTEST_ARGS are handed to pytest. The suite runs once as it is, and then once for each fault
    and intensity, which strikes the call of every test. Give -n to try the loss of workers.

    Exit status: 0 if nothing was lost that should not be, 1 if something was, 2 if the command
    line is wrong, 3 if a run brought no result.
    """
    faults = _faults(specs, pytest_args)
    with tempfile.TemporaryDirectory(prefix="pytest-resilience-") as temporary:
        folder = Path(logs).absolute() if logs else Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        runs = Runs(folder, pytest_args, limit)
        narrate("in peace ...")
        baseline = runs.run("baseline", ())
        if isinstance(baseline, str):
            fail(f"the suite does not run in peace: {baseline}", ExitCode.UNREADABLE)
        counted, excluded = healthy(baseline)
        rows = [_row(runs, spec, fault, counted) for spec, fault in faults]
    certificate = Certificate(len(counted), excluded, rows)
    _write(certificate, html_file, json_file)
    _show(certificate, form)
    if any(row.grade == BROKEN for row in rows):
        raise SystemExit(ExitCode.UNREADABLE)
    raise SystemExit(ExitCode.OK if certificate.good else ExitCode.FINDINGS)


class Runs:
    """Runs pytest.

    Args:
        folder: Where logs and summaries go.
        limit_s: Seconds one run may take.
    """

    def __init__(self, folder: Path, arguments: Sequence[str], limit_s: float) -> None:
        self._folder = folder
        self._arguments = arguments
        self._limit_s = limit_s
        self._history = folder / "history.duckdb"

    def run(self, name: str, options: Sequence[str]) -> dict[str, Any] | str:
        """Return the JSON summary of a run, or why there is none."""
        summary, log = (self._folder / f"{name}.{end}" for end in ("json", "log"))
        summary.unlink(missing_ok=True)
        # A path that stands alone would have a say in what pytest takes for its root directory.
        command = [
            *(sys.executable, "-m", "pytest", *_plugin(), *self._arguments),
            *("--resilience", f"--resilience-json={summary}", "--inject-rate=0"),
            f"--resilience-db={self._history}",
            f"--resilience-report={self._folder / name}.html",
            *options,
        ]
        # What the surroundings would inject is not what is tried here.
        env = {k: v for k, v in os.environ.items() if "_RESILIENCE_INJECT_" not in k}
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
            try:
                status = process.wait(self._limit_s)
            except subprocess.TimeoutExpired:
                # Interrupted, it ends its browsers.
                _end(process)
                return f"it took more than {self._limit_s:g} s"
            except BaseException:
                _end(process)
                raise
        try:
            found: dict[str, Any] = json.loads(summary.read_text("utf-8"))
        except (OSError, ValueError):
            return f"pytest ended with exit status {status}{_said(log)}"
        return found if status in _RAN else f"pytest ended with exit status {status}{_said(log)}"

    def platforms(self, summary: Mapping[str, Any]) -> dict[str, str]:
        """Return, by node id, on which platform the tests of a run were struck."""
        from pytest_resilience.store.history import History

        try:
            rows = History(self._history).read(_STRUCK, [summary["session"]["session_id"]])
        except StoreError as error:
            narrate(f"where tests were struck is unknown: {error.message}")
            # What is expected anywhere is expected there.
            return {}
        told = [json.loads(row["data"]) for row in rows]
        return {data["nodeid"]: data["platform"] for data in told if data["struck"]}


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _said(log: Path) -> str:
    """Return the error that pytest told of, if it did."""
    lines = log.read_text("utf-8", "replace").splitlines()
    errors = [line for line in lines if line.startswith("ERROR: ")]
    return f": {errors[-1].removeprefix('ERROR: ')}" if errors else ""


def _plugin() -> tuple[str, ...]:
    # Where plugins are not found by themselves, this one has to be named.
    alone = os.environ.get("PYTEST_DISABLE_PLUGIN_AUTOLOAD")
    return ("-p", "pytest_resilience.plugin.main") if alone else ()


def _faults(specs: Sequence[str], arguments: Sequence[str]) -> list[tuple[str, Fault]]:
    """Return what is tried: how the option writes it, and what the catalogue says of it."""
    distributed = any(given.startswith(_DISTRIBUTING) for given in arguments)
    if not specs:
        faults = matrix(distributed=distributed)
        return [(f"{f.type.value}:{f.intensity.value}", f) for f in faults]
    try:
        return [(spec, Injection.parse(spec, source="--fault").faults[0]) for spec in specs]
    except ConfigurationError as error:
        fail(error.message, ExitCode.USAGE)


def _row(runs: Runs, spec: str, fault: Fault, counted: Sequence[str]) -> Row:
    narrate(f"{spec} ...")
    name = spec.replace(":", "-").replace("@", "-")
    summary = runs.run(name, (f"--inject-failure={spec}",))
    if isinstance(summary, str):
        return empty_row(fault, summary)
    return row_of(fault, summary, counted, runs.platforms(summary))


def _write(certificate: Certificate, html_file: str | None, json_file: str | None) -> None:
    try:
        if html_file:
            write_certificate_html(certificate, html_file, option="--html")
        if json_file:
            write_certificate_json(certificate, json_file, option="--json")
    except ReportError as error:
        fail(error.message, ExitCode.USAGE)


def _show(certificate: Certificate, form: str) -> None:
    if form == "json":
        show_json(certificate.to_dict())
    else:
        show_table(*certificate.cells(), styles=_STYLES)
    score = "" if certificate.score is None else f", score {certificate.score} %"
    told = "certified" if certificate.good else "not certified"
    narrate(f"{told}: {certificate.tests} tests counted{score}")
