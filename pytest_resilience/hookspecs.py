"""The hooks through which others add to this plugin.

Invariant: every hook has a test and a documented signature, and a plugin that
implements none of them costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pytest_resilience.core.classifier import Rule
    from pytest_resilience.core.strategies import RecoveryStrategy


@pytest.hookspec
def pytest_resilience_event(kind: str, payload: Mapping[str, Any]) -> None:
    """Called for every recorded event, in the process in which it happened.

    :param kind: ``attempt``, ``test_result``, ``error``, ``recovery``,
        ``session_started`` or ``session_finished``.
    :param payload: The event as plain values.
    """


@pytest.hookspec
def pytest_resilience_classify(config: pytest.Config) -> Sequence[Rule] | None:
    """Return classification rules to be asked before the built-in ones, in order.

    Called once, when the session starts.
    """


@pytest.hookspec
def pytest_resilience_strategies(config: pytest.Config) -> Sequence[RecoveryStrategy] | None:
    """Return recovery strategies to choose from beside the built-in ones.

    Called once, when the session starts. A strategy that cannot be used, or whose name is
    taken, ends the session with a message.
    """


@pytest.hookspec
def pytest_resilience_reset_environment(config: pytest.Config) -> None:
    """Called by the strategy ``environment_reset``, when the browsers of a test are ended.

    For what is not ours to reset: containers, test data, a licence server. An exception
    makes the reset a failed one.
    """


@pytest.hookspec
def pytest_resilience_faults(
    config: pytest.Config,
) -> Mapping[str, Callable[[pytest.Item], Callable[[], object] | None]] | None:
    """Return faults of your own, by the type and intensity of failure that they are.

    Such as ``{"database_error:moderate": stop_the_database}``. Each is called with the test it
    is to strike, breaks something, and returns what undoes it, or None. It takes the place of
    the built-in fault, if there is one. Called once per process that runs tests, and only if
    failures are injected; also without ``--resilience``.
    """


@pytest.hookspec
def pytest_resilience_alert(health: Mapping[str, Any], config: pytest.Config) -> None:
    """Called when the infrastructure of a run becomes critical, in the process that runs tests.

    That is when the overall health of its circuits falls below 50 per cent; again only after
    it has been better in between. An exception changes nothing.

    :param health: See `get_health_metrics`.
    """
