"""Grids that stand in for each other: who is next, who is asked, and who learns what."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from selenium.webdriver.remote.client_config import ClientConfig
from selenium.webdriver.remote.remote_connection import RemoteConnection

from pytest_resilience.browser.discovery import endpoint_of, without_credentials
from pytest_resilience.browser.endpoints import Endpoints, is_ready, plain
from pytest_resilience.browser.wire import Wire


class Server:
    """Something that answers /status like a grid, or not.

    Attributes:
        ready: What it says; None to answer with an error.
        logins: The credentials it was shown, "" where there were none.
    """

    def __init__(self) -> None:
        self.ready: object = True
        self.logins: list[str] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                given = self.headers.get("Authorization", "").removeprefix("Basic ")
                server.logins.append(base64.b64decode(given).decode())
                body = json.dumps({"value": {"ready": server.ready}}).encode()
                self.send_response(200 if server.ready is not None else 500)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_args: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self._http.server_port}"
        self.url = f"http://{self.host}"
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()


@pytest.fixture
def servers() -> Iterator[list[Server]]:
    made = [Server(), Server(), Server()]
    yield made
    for server in made:
        server.close()


class Driver:
    """What is known of a driver before it has a session."""

    def __init__(self, url: str, config: ClientConfig | None = None) -> None:
        self.command_executor = RemoteConnection(
            client_config=config or ClientConfig(remote_server_addr=url)
        )


def started_at(endpoints: Endpoints, url: str) -> str:
    driver: Any = Driver(url)
    endpoints.direct(driver, endpoint_of(driver))
    return endpoint_of(driver)


def switch(endpoints: Endpoints, failed: str) -> bool:
    return endpoints.switch(failed, Wire(failed))


class TestPlain:
    """When two addresses mean the same endpoint."""

    @pytest.mark.parametrize(
        "url",
        [
            "http://hub:4444",
            "http://hub:4444/",
            "http://me:secret@hub:4444/wd/hub",
            "HTTP://Hub:4444/wd/hub/",
            " http://hub:4444 ",
        ],
    )
    def test_credentials_case_and_the_old_path_make_no_difference(self, url: str) -> None:
        assert plain(url) == "http://hub:4444"

    @pytest.mark.parametrize(
        "url",
        [
            "https://hub:4444",
            "http://hub",
            "http://hub:4445",
            "http://hub2:4444",
            "http://hub:4444/a",
        ],
    )
    def test_everything_else_does(self, url: str) -> None:
        assert plain(url) != "http://hub:4444"

    def test_the_usual_port_need_not_be_said(self) -> None:
        assert plain("https://grid.example") == plain("https://grid.example:443/")


@pytest.mark.parametrize(
    ("ready", "expected"), [(True, True), (False, False), ("true", False), (None, False)]
)
def test_ready_is_who_says_so(ready: object, expected: bool, servers: list[Server]) -> None:
    servers[0].ready = ready
    assert is_ready(Wire(servers[0].url)) is expected


def test_nothing_is_ready_where_nobody_listens(servers: list[Server]) -> None:
    servers[0].close()
    assert not is_ready(Wire(servers[0].url))


class TestSwitch:
    """Where new sessions go when an endpoint has failed."""

    def test_they_go_where_they_were_asked_for_as_long_as_nothing_failed(
        self, servers: list[Server]
    ) -> None:
        urls = [server.url for server in servers]
        endpoints = Endpoints(urls)
        assert [started_at(endpoints, url) for url in urls] == urls
        assert [server.logins for server in servers] == [[], [], []]

    def test_they_go_to_the_next_one_that_is_ready(self, servers: list[Server]) -> None:
        first, second, third = (server.url for server in servers)
        servers[1].ready = False
        endpoints = Endpoints([first, second, third])
        assert switch(endpoints, first)
        assert started_at(endpoints, first) == third
        assert started_at(endpoints, second) == second
        assert servers[0].logins == []

    def test_behind_the_last_one_comes_the_first(self, servers: list[Server]) -> None:
        first, second, third = (server.url for server in servers)
        endpoints = Endpoints([first, second, third])
        assert switch(endpoints, third)
        assert started_at(endpoints, third) == first

    def test_without_one_that_is_ready_nothing_changes(self, servers: list[Server]) -> None:
        first, second, third = (server.url for server in servers)
        servers[1].ready = servers[2].ready = None
        endpoints = Endpoints([first, second, third])
        assert not switch(endpoints, first)
        assert started_at(endpoints, first) == first

    def test_one_that_had_failed_is_used_again_when_the_other_fails(
        self, servers: list[Server]
    ) -> None:
        first, second, _third = (server.url for server in servers)
        endpoints = Endpoints([first, second])
        assert switch(endpoints, first)
        assert switch(endpoints, second)
        assert started_at(endpoints, first) == first
        assert started_at(endpoints, second) == first

    def test_a_stand_in_that_fails_gets_one_in_turn(self, servers: list[Server]) -> None:
        first, second, third = (server.url for server in servers)
        endpoints = Endpoints([first, second, third])
        assert switch(endpoints, first)
        servers[0].ready = False
        assert switch(endpoints, second)
        assert [started_at(endpoints, url) for url in (first, second, third)] == [third] * 3

    def test_one_that_is_not_on_the_list_is_left_alone(self, servers: list[Server]) -> None:
        first, second, third = (server.url for server in servers)
        endpoints = Endpoints([first, second])
        assert not endpoints.has_others(third)
        assert not endpoints.has_others("")
        assert endpoints.has_others(f"{first}/wd/hub")
        assert not Endpoints([first]).has_others(first)
        switch(endpoints, first)
        assert started_at(endpoints, third) == third


class TestCredentials:
    """Each endpoint is shown its own, and no other's."""

    @staticmethod
    def with_login(url: str, login: str) -> str:
        return url.replace("http://", f"http://{login}@")

    def test_the_question_whether_it_is_ready_carries_those_of_its_address(
        self, servers: list[Server]
    ) -> None:
        first = self.with_login(servers[0].url, "anna:one")
        second = self.with_login(servers[1].url, "bert:t%77o")
        endpoints = Endpoints([first, second])
        assert endpoints.switch(first, Wire(first, headers={"Authorization": "Basic YW5uYTpvbmU="}))
        assert servers[1].logins == ["bert:two"]

    @pytest.mark.parametrize(
        ("url", "shown"),
        [
            ("https://me:secret@hub.example:4444/wd/hub", "https://hub.example:4444/wd/hub"),
            ("http://me@hub", "http://hub"),
            ("http://hub:4444/a@b", "http://hub:4444/a@b"),
            ("", ""),
        ],
    )
    def test_nobody_is_shown_those_of_an_address(self, url: str, shown: str) -> None:
        assert without_credentials(url) == shown

    @pytest.mark.filterwarnings("ignore:Embedding username and password")
    @pytest.mark.parametrize(
        ("second_login", "shown"), [("bert:two", "bert:two"), ("", "")], ids=["own", "none"]
    )
    def test_a_session_sent_elsewhere_shows_those_of_the_new_address(
        self, second_login: str, shown: str, servers: list[Server]
    ) -> None:
        second = servers[1].url
        second = self.with_login(second, second_login) if second_login else second
        endpoints = Endpoints([servers[0].url, second])
        assert switch(endpoints, servers[0].url)
        servers[1].logins.clear()
        config = ClientConfig(remote_server_addr=servers[0].url, username="anna", password="one")
        driver: Any = Driver("", config)
        endpoints.direct(driver, endpoint_of(driver))
        driver.command_executor._request("GET", f"{endpoint_of(driver)}/status")
        assert servers[1].logins == [shown]
        # The user may have given the same settings to a driver that lives.
        assert (config.remote_server_addr, config.username) == (servers[0].url, "anna")


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep a proxy of the machine out of it."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
