"""Failures whose words or names are those of a browser stack, but which no driver raised."""

from __future__ import annotations

import pytest

from tests.plugin.conftest import RunInner

HEAD = """
    import http.client, socket, urllib.request
    import pytest, urllib3
    from selenium.common.exceptions import WebDriverException
    from tests.plugin.breakage import Grid, lose_browser, note

    class ApiError(Exception):
        pass

    class ScreenshotException(Exception):
        pass

    class TargetClosedError(Exception):
        pass

    class UploadError(OSError):
        pass

    class JobFailed(RuntimeError):
        pass
"""
RAISED = {
    "answer": 'raise ApiError(\'POST /orders: 500 {"error": "socket hang up"}\')',
    "page": "raise ApiError('the page says: tab crashed')",
    "picture": "raise ScreenshotException('differs in 3 % of its pixels')",
    "closed": "raise TargetClosedError('the session of this customer has been closed')",
    "by-hand": "raise WebDriverException('chrome not reachable')",
    "own-client": "raise http.client.RemoteDisconnected('closed without response')",
    "own-pool": "urllib3.PoolManager(retries=False).request('GET', 'http://127.0.0.1:1/')",
    "bad-url": "http.client.HTTPConnection('127.0.0.1:port')",
    "own-connection": "raise ConnectionError('https://www.selenium.dev does not answer')",
    "own-wait": "raise TimeoutError('loading timed out: the spinner is still there')",
    "own-renderer": "raise TimeoutError('timed out receiving message from renderer: spinner')",
    "own-files": "raise OSError('the shop takes 5 attachments: too many open files')",
    "own-names": "raise UploadError('[Errno -3] Temporary failure in name resolution')",
    "own-device": "raise JobFailed('the job says: CUDA driver error')",
    "words-of-a-full-disk": "raise OSError('the shop answered 507: No space left on device')",
}


@pytest.mark.parametrize("raised", RAISED.values(), ids=RAISED)
@pytest.mark.parametrize("phase", ["setup", "call", "teardown"])
def test_they_fail_at_once_and_stay_failures(run_inner: RunInner, raised: str, phase: str) -> None:
    """In a teardown, too, which is not run again: there an excuse would be for ever."""
    before, within, after = (
        raised if phase == p else "pass" for p in ("setup", "call", "teardown")
    )
    suite = f"""{HEAD}
    @pytest.fixture
    def order():
        note("ran")
        {before}
        yield
        {after}

    def test_it(order):
        {within}
    """
    run = run_inner(suite)
    assert run.verdicts == {"test_it": "failed"}, run.output
    assert run.log("test_it.txt") == ["ran"]
    assert run.status == 1


@pytest.mark.parametrize(
    "raised", ["assert 1 == 0, 'the order is still there'", "raise ApiError('DELETE: 500')"]
)
def test_a_teardown_that_fails_beside_a_lost_browser_stays_an_error(
    run_inner: RunInner, raised: str
) -> None:
    suite = f"""{HEAD}
    grid = Grid()

    @pytest.fixture
    def driver():
        driver = grid.driver()
        yield driver
        driver.quit()

    @pytest.fixture
    def order(driver):
        yield
        grid.lose(driver)
        {raised}

    def test_it(order):
        note("ran")
    """
    run = run_inner(suite)
    assert run.verdicts["test_it"] in ("failed", "unrecovered"), run.output
    assert run.log("test_it.txt") == ["ran"]
    assert run.status == 1
