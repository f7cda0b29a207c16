"""Names of what reports carry of injected failures, for those who write them and those who read.

Invariant: nothing is imported here, so that a run into which nothing is injected can look for
them at no cost.
"""

from __future__ import annotations

#: What was injected into the attempt of a report.
INJECTED = "resilience_injected"
#: What was not injected though it was planned, and why; on reports of teardowns.
NOT_INJECTED = "resilience_not_injected"
