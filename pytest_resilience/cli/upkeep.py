"""``pytest-resilience merge``, ``prune`` and ``export``: histories put together, made small
and handed on.

Invariant: sources are never changed, and a target that cannot be written is left as it was.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from pytest_resilience.cli.history import asking_history, db_option
from pytest_resilience.cli.output import (
    ExitCode,
    fail,
    format_option,
    narrate,
    show_json,
    show_table,
)
from pytest_resilience.exceptions import StoreError
from pytest_resilience.report.text import plural


@click.command("merge")
@click.argument("target", type=click.Path(dir_okay=False))
@click.argument("sources", metavar="SOURCE...", nargs=-1, required=True, type=click.Path())
@format_option
def merge_command(target: str, sources: tuple[str, ...], form: str) -> None:
    """Take histories of other machines into TARGET, each record once.

    TARGET is a history, made if it is not there. SOURCE is another history, a folder that
    export made, a spool, or a folder of those such as .resilience. Sources are not changed;
    merging them again adds nothing.

    Exit status: 0, 2 if TARGET cannot be written, 3 if a SOURCE could not be used; the
    others are merged all the same.
    """
    from pytest_resilience.store.shards import merge_databases

    try:
        result = merge_databases(Path(target), map(Path, sources))
    except StoreError as error:
        fail(error.message, ExitCode.USAGE)
    if form == "json":
        show_json(
            {
                "records": result.records,
                "taken": [
                    {"source": str(taken.source), "records": taken.records, "note": taken.note}
                    for taken in result.taken
                ],
                "refused": [refusal.message for refusal in result.refused],
            }
        )
    else:
        rows = [[str(taken.source), f"{taken.records:,}"] for taken in result.taken]
        show_table(["source", "new records"], rows)
    for taken in result.taken:
        if taken.note:
            narrate(f"{taken.source}: {taken.note}")
    narrate(f"{plural(result.records, 'new record')} from {plural(len(result.taken), 'source')}")
    for refusal in result.refused:
        narrate(f"pytest-resilience: {refusal.message}")
    if result.refused:
        raise SystemExit(ExitCode.UNREADABLE)


@click.command("prune")
@click.option("--keep-days", type=click.IntRange(0), help="Keep sessions of the last so many days.")
@click.option("--before", type=click.DateTime(), help="Remove what ended before this, UTC.")
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@db_option
@format_option
def prune_command(
    keep_days: int | None, before: datetime | None, dry_run: bool, db: str | None, form: str
) -> None:
    """Remove the records of old sessions from the history and make the file smaller.

    What they taught stays: scores, newest outcomes, time-outs and the sums of each day.
    Give either --keep-days or --before.

    Exit status: 0, or 3 if there is no history or it cannot be written.
    """
    from pytest_resilience.store.metrics import default_db
    from pytest_resilience.store.retention import prune

    if (keep_days is None) == (before is None):
        raise click.UsageError("give either --keep-days or --before, such as --keep-days 90")
    path = default_db() if db is None else Path(db)
    with asking_history():
        done = prune(path, before=before, keep_days=keep_days, dry_run=dry_run)
    if form == "json":
        show_json(
            {
                "sessions": done.sessions,
                "records": done.records,
                "bytes_before": done.bytes_before,
                "bytes_after": done.bytes_after,
                "dry_run": dry_run,
            }
        )
    else:
        rows = [[table, f"{count:,}"] for table, count in done.records.items()]
        show_table(["table", "rows to remove" if dry_run else "rows removed"], rows)
    size = f"{done.bytes_before / 1e6:.1f} MB, now {done.bytes_after / 1e6:.1f} MB"
    narrate(f"{plural(done.sessions, 'session')}; the file had {size}")


@click.command("export")
@click.argument("folder", type=click.Path(file_okay=False))
@click.option("--format", "form", type=click.Choice(["parquet", "csv", "json"]),
              default="parquet", show_default=True, help="Format of the files.")  # fmt: skip
@db_option
def export_command(folder: str, form: str, db: str | None) -> None:
    """Write every table of the history to a file of its own in FOLDER.

    FOLDER is made; files that are there are not overwritten. The paths of the files go to
    standard output. What was exported can be merged.

    Exit status: 0, or 3 if there is no history, or FOLDER cannot be written.
    """
    from pytest_resilience.store.export import export
    from pytest_resilience.store.metrics import default_db

    with asking_history():
        files = export(default_db() if db is None else Path(db), Path(folder), form)
    for path in files:
        click.echo(str(path))
    narrate(f"{plural(len(files), 'file')}, {plural(sum(files.values()), 'row')}")
