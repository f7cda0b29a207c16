"""What a test does to its browser, by the commands it sends."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_resilience.browser import own_acts
from pytest_resilience.core.evidence import CUT, SLOWED

_NETWORK = "Network.emulateNetworkConditions"


def cdp(method: str, **params: Any) -> tuple[str, dict[str, Any]]:
    return "executeCdpCommand", {"cmd": method, "params": params}


def conditions(**given: Any) -> tuple[str, dict[str, Any]]:
    return "setNetworkConditions", {"network_conditions": given}


@pytest.mark.parametrize(
    ("sent", "network"),
    [
        pytest.param(conditions(offline=True, latency=0), CUT, id="offline"),
        pytest.param(conditions(offline=False, latency=5), SLOWED, id="latency"),
        pytest.param(conditions(offline=False, throughput=500), SLOWED, id="throughput"),
        pytest.param(conditions(offline=False, latency=0), "", id="nothing"),
        pytest.param(("deleteNetworkConditions", {}), "", id="deleted"),
        pytest.param(cdp(_NETWORK, offline=True), CUT, id="cdp-offline"),
        pytest.param(cdp(_NETWORK, offline=False, uploadThroughput=9), SLOWED, id="cdp-slow"),
        pytest.param(
            cdp(_NETWORK, offline=False, latency=0, downloadThroughput=-1), "", id="cdp-nothing"
        ),
        pytest.param(
            cdp(f"{_NETWORK}ByRule", matchedNetworkConditions=[{}, {"offline": True}]),
            CUT,
            id="cdp-rule",
        ),
        pytest.param(
            ("send_command", {"cmd": _NETWORK, "params": {"offline": True}}), CUT, id="own-name"
        ),
        pytest.param(cdp("Network.disable"), "", id="cdp-disabled"),
        pytest.param(cdp("Network.enable"), None, id="cdp-other"),
        pytest.param(("get", {"url": "http://shop"}), None, id="other"),
        pytest.param(("executeCdpCommand", {"cmd": _NETWORK, "params": None}), "", id="no-params"),
        pytest.param(("executeCdpCommand", {"cmd": ["x"]}), None, id="no-method"),
        pytest.param(("setNetworkConditions", {}), "", id="no-conditions"),
    ],
)
def test_what_it_makes_of_the_network(
    sent: tuple[str, dict[str, Any]], network: str | None
) -> None:
    assert own_acts.network(*sent) == network


@pytest.mark.parametrize(
    ("sent", "ended"),
    [(cdp("Browser.close"), True), (cdp("Browser.crash"), False), (("quit", {}), False)],
    ids=["close", "crash", "quit"],
)
def test_only_who_closes_the_browser_has_ended_it(
    sent: tuple[str, dict[str, Any]], ended: bool
) -> None:
    """A crash on purpose is a crash: that is how people try what this plugin does."""
    assert own_acts.ends_browser(*sent) is ended
