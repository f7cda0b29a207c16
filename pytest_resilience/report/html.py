"""The summary as one HTML page.

Invariant: the page is one file that asks the network for nothing; its policy lets only
its own script and style run, and text from the session is never markup in it: the
template escapes all it is given, and the script makes text nodes alone.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import os
from typing import TYPE_CHECKING, Any

from pytest_resilience.exceptions import ReportError
from pytest_resilience.report.files import write_whole
from pytest_resilience.report.summary import Summary
from pytest_resilience.report.templating import environment as templates
from pytest_resilience.report.view import page, table

if TYPE_CHECKING:
    import jinja2


def write_html(
    summary: Summary, path: str | os.PathLike[str], *, option: str = "--resilience-report"
) -> None:
    """Write the page to `path`, whole or not at all.

    :param option: The option `path` came from, for the error message.
    :raises ReportError: If the page cannot be made or the file cannot be written.
    """
    try:
        data = render(summary).encode("utf-8")
    except Exception as error:
        # A fault of ours must not end the session whose page this is.
        raise ReportError(
            f"{option}: the page could not be made ({type(error).__name__}: {error}); "
            "please report this, with the file of --resilience-json"
        ) from error
    write_whole(path, data, option=option)


def render(summary: Summary) -> str:
    """Return the page."""
    environment = templates()
    style = _source(environment, "report.css")
    script = _source(environment, "report.js")
    return environment.get_template("report.html.j2").render(
        **page(summary),
        style=style,
        script=script,
        policy=_policy(style, script),
        data=_packed(table(summary)),
    )


def _source(environment: jinja2.Environment, name: str) -> str:
    if environment.loader is None:
        raise LookupError("the page's templates have no loader")
    return environment.loader.get_source(environment, name)[0]


def _policy(style: str, script: str) -> str:
    return (
        "default-src 'none'; base-uri 'none'; form-action 'none'; img-src data:; "
        f"style-src '{_digest(style)}'; script-src '{_digest(script)}'"
    )


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode()


def _packed(data: dict[str, Any]) -> str:
    """Return `data` as compressed JSON in base64, whose letters mean nothing in HTML."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return base64.b64encode(gzip.compress(text.encode("utf-8"), mtime=0)).decode("ascii")
