"""pytest-timeout, if it is installed: every attempt gets the whole time-out.

Invariant: with that plugin absent, or time-outs off, nothing happens here.

Its timer spans the whole protocol, recoveries included; without re-arming, a hang in
a second attempt would have what the first one left, or no limit at all.
"""

from __future__ import annotations

import sys
from typing import Any

import pytest

#: A hook that only that plugin brings, under whatever name it was loaded.
_SET_TIMER = "pytest_timeout_set_timer"


class TestTimeouts:
    """Cancels and re-arms the timer of pytest-timeout around a recovery."""

    __test__ = False

    def __init__(self, config: pytest.Config) -> None:
        self._hook: Any = config.hook if hasattr(config.hook, _SET_TIMER) else None

    def cancel(self, item: pytest.Item) -> None:
        """Stop the timer of `item`: what follows is ours, not the test's."""
        if self._applies(item) is not None:
            self._hook.pytest_timeout_cancel_timer(item=item)

    def rearm(self, item: pytest.Item) -> None:
        """Give the next attempt of `item` its whole time-out."""
        settings = self._applies(item)
        if settings is not None:
            self._hook.pytest_timeout_set_timer(item=item, settings=settings)

    def _applies(self, item: pytest.Item) -> Any:
        module = sys.modules.get("pytest_timeout")
        read = getattr(module, "_get_item_settings", None)
        if self._hook is None or read is None:
            return None
        settings = read(item)
        if not settings.timeout or settings.timeout <= 0 or settings.func_only:
            return None
        return settings
