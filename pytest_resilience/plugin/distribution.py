"""Whether this process hands the tests out to the workers of xdist.

Invariant: there is one answer for the whole plugin, and a worker of xdist never says yes.
"""

from __future__ import annotations

import pytest


def distributes(config: pytest.Config) -> bool:
    """Return whether this process is a controller of xdist, which runs no test itself."""
    loaded = config.pluginmanager.hasplugin
    if loaded("dsession"):
        return True
    # Before xdist has begun, its option tells; in a worker that says "no". Other plugins may
    # have an option of this name, which means nothing.
    return (loaded("xdist") or loaded("xdist.plugin")) and config.getoption("dist", "no") != "no"
