"""The five levels of recovery, from a bare retry to the whole environment.

Invariant: a level names what is touched, not what is wrong; a higher level never
touches less than a lower one.
"""

from __future__ import annotations

import enum


class ProgressiveRecoveryLevel(enum.IntEnum):
    """How much of the environment a recovery touches."""

    #: Retry or reconnect.
    BASIC = 1
    #: Wait, or adjust parameters.
    ENHANCED = 2
    #: Restart the broken part.
    COMPONENT = 3
    #: Move elsewhere, or ask for less.
    SYSTEM = 4
    #: The whole environment.
    CRITICAL = 5

    # The same levels under their plain numbers.
    LEVEL_1 = 1
    LEVEL_2 = 2
    LEVEL_3 = 3
    LEVEL_4 = 4
    LEVEL_5 = 5
