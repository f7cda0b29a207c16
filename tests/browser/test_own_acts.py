"""What a test does to its browser, by the commands it sends."""

from __future__ import annotations

from typing import Any

import pytest
from selenium.common.exceptions import InvalidArgumentException, WebDriverException

from pytest_resilience.browser import own_acts
from pytest_resilience.browser.guard import Care
from pytest_resilience.browser.processes import ProcessId
from pytest_resilience.browser.sessions import DriverSession
from pytest_resilience.browser.wire import Wire
from pytest_resilience.core.evidence import CUT, SLOWED

_NETWORK = "Network.emulateNetworkConditions"


def cdp(method: str, **params: Any) -> tuple[str, dict[str, Any]]:
    return "executeCdpCommand", {"cmd": method, "params": params}


def a_session() -> DriverSession:
    return DriverSession(
        session_id="mine",
        browser="chrome",
        browser_version="1",
        endpoint="",
        remote=False,
        wire=Wire("http://127.0.0.1:9"),
        requested={},
        capabilities={},
    )


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


class TestTheNetworkThatATestHasChanged:
    """It is remembered until a page has been loaded by the one that it gave back."""

    @pytest.fixture
    def care(self) -> Care:
        return Care()

    @pytest.mark.parametrize("load", ["get", "refresh"])
    @pytest.mark.parametrize(
        "given_back",
        [("deleteNetworkConditions", {}), cdp("Network.disable"), cdp(_NETWORK, offline=False)],
        ids=["deleted", "disabled", "set"],
    )
    def test_is_as_ever_after_that(
        self, care: Care, given_back: tuple[str, dict[str, Any]], load: str
    ) -> None:
        session = a_session()
        care.answered(session, *cdp(_NETWORK, offline=True))
        care.answered(session, *given_back)
        assert care.network == CUT
        care.answered(session, load, {"url": "http://shop"})
        assert care.network == ""

    def test_is_cut_as_long_as_it_is_not_given_back(self, care: Care) -> None:
        session = a_session()
        care.answered(session, *cdp(_NETWORK, offline=True))
        care.answered(session, "refresh", {})
        assert care.network == CUT

    def test_may_be_changed_again(self, care: Care) -> None:
        session = a_session()
        care.answered(session, *cdp(_NETWORK, offline=True))
        care.answered(session, "deleteNetworkConditions", {})
        care.answered(session, *conditions(offline=False, latency=9))
        care.answered(session, "get", {"url": "http://shop"})
        assert care.network == SLOWED


class TestABrowserThatATestCloses:
    """It was the test that ended it, unless it had died before or was told wrongly."""

    @pytest.mark.parametrize(
        ("error", "closed"),
        [
            pytest.param(WebDriverException("disconnected: not connected"), True, id="gone"),
            pytest.param(KeyboardInterrupt(), True, id="interrupted"),
            pytest.param(InvalidArgumentException("bad params"), False, id="bad"),
            pytest.param(
                WebDriverException('unhandled inspector error: {"code":-32602}'),
                False,
                id="refused",
            ),
        ],
    )
    def test_may_not_answer(self, error: BaseException, closed: bool) -> None:
        session = a_session()
        session.care.closes(session)
        session.care.raised(session, error)
        assert session.closed_by_test is closed

    def test_has_been_closed_if_it_answers(self) -> None:
        session = a_session()
        session.care.closes(session)
        session.care.answered(session, *cdp("Browser.close"))
        assert session.closed_by_test

    def test_is_not_closed_if_it_was_dead(self) -> None:
        session = a_session()
        session.browser_process = ProcessId(2**22 + 1, 1.0)
        session.care.closes(session)
        session.care.raised(session, WebDriverException("disconnected"))
        assert not session.closed_by_test
