"""The templates of the pages, and what compiling them gave.

Compiling takes longer than all the rest of a page, so it is kept in the user's cache folder.

Invariant: text in a page is escaped, a name that nobody gave is an error, and a cache that
cannot be read or written costs time and nothing else.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import jinja2
    from jinja2.bccache import Bucket


def environment() -> jinja2.Environment:
    """Return that in which the pages are made."""
    import jinja2

    return jinja2.Environment(
        loader=jinja2.PackageLoader("pytest_resilience.report", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        bytecode_cache=_cache(),
    )


def cache_folder() -> Path:
    """Return where compiled templates are kept: ``$XDG_CACHE_HOME`` or ``~/.cache``.

    Raises:
        RuntimeError: The user has no home.
    """
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "pytest-resilience" / "templates"


def _cache() -> jinja2.BytecodeCache | None:
    import jinja2

    class Cache(jinja2.FileSystemBytecodeCache):
        def load_bytecode(self, bucket: Bucket) -> None:
            try:
                super().load_bytecode(bucket)
            # Of half a file pickle may raise anything; what is not loaded is compiled, and kept.
            except Exception:  # noqa: BLE001
                bucket.reset()

        def dump_bytecode(self, bucket: Bucket) -> None:
            with suppress(OSError):
                super().dump_bytecode(bucket)

    # What one version has compiled need not run with another.
    with suppress(OSError, RuntimeError):
        folder = cache_folder() / jinja2.__version__
        folder.mkdir(parents=True, exist_ok=True)
        return Cache(str(folder))
    return None
