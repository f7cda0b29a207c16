"""The server of a page that was slow, or badly answered: what of it is asked, and where it is."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from pytest_resilience.browser import target
from pytest_resilience.browser.sessions import DriverSession
from pytest_resilience.core.evidence import Evidence, ProbeResult
from pytest_resilience.core.failures import ExceptionFact
from tests import ports
from tests.browser.test_target import page, session_at

#: Seconds for what is answered, on a machine that does much else.
AMPLE_S = 60.0


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for servers of this machine for as long as it takes."""
    for name in ("LIMIT_S", "_PRESENCE_LIMIT_S", "_NEAR_PRESENCE_LIMIT_S"):
        monkeypatch.setattr(target, name, AMPLE_S)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """What takes connections and answers none."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(AMPLE_S)
        yield listener


def url_of(port: int) -> str:
    return f"http://127.0.0.1:{port}"


def too_slow(url: str) -> DriverSession:
    """Return a session whose page has taken too long to load."""
    session = session_at(f"{url}/basket")
    message = "timeout: Timed out receiving message from renderer: 4.9"
    session.first_failure = ExceptionFact(("selenium.TimeoutException",), message)
    return session


def test_the_server_of_a_slow_page_is_connected_to_and_asked_nothing(
    listener: socket.socket,
) -> None:
    port = listener.getsockname()[1]
    result = target.examine(too_slow(url_of(port)), page("ok"))
    assert result is not None
    assert (result.answer, result.detail) == ("present", f"127.0.0.1:{port} takes connections")
    connection, _ = listener.accept()
    with connection:
        connection.settimeout(AMPLE_S)
        assert connection.recv(1) == b""


def test_it_is_asked_where_the_machine_may_have_been_what_was_slow(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shortage of the machine is no excuse for a server that is slow for us, too."""
    monkeypatch.setattr(target, "_NEAR_PRESENCE_LIMIT_S", 0.2)
    session = too_slow(url_of(listener.getsockname()[1]))
    known = [*page("ok"), ProbeResult("target", "present")]
    assert target.examine_again(session, Evidence(known)) is None
    short = ProbeResult("host", "short", "memory: none")
    result = target.examine_again(session, Evidence([*known, short]))
    assert result is not None
    assert result.answer == "silent"


def test_what_was_asked_before_is_not_asked_again(listener: socket.socket) -> None:
    session = too_slow(url_of(listener.getsockname()[1]))
    known = [*page("ok"), ProbeResult("target", "ok"), ProbeResult("host", "short")]
    assert target.examine_again(session, Evidence(known)) is None


@pytest.mark.parametrize(
    ("reached", "answer"), [(False, "refused"), (True, "vanished")], ids=["never", "before"]
)
def test_its_absence_is_told(reached: bool, answer: str) -> None:
    with ports.closed_port() as port:
        session = too_slow(url_of(port))
        if reached:
            session.reached.add(url_of(port))
        result = target.examine(session, page("ok"))
    assert result is not None
    assert result.answer == answer


def test_a_name_that_leads_nowhere_is_told() -> None:
    assert target.presence("http://nowhere.invalid/", limit_s=AMPLE_S)[0] == "dns"


@pytest.mark.parametrize("answer", ["gateway", "server_error"])
def test_where_a_badly_answered_page_is_from_is_not_asked_of_the_driver(answer: str) -> None:
    """It is said in what the page has told."""
    with ports.closed_port() as port:
        told = page(answer, f"503 {url_of(port)}/basket")
        result = target.examine(session_at("data:,"), told)
    assert result is not None
    assert result.answer == "refused"
