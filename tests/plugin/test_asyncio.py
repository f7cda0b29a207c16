"""pytest-asyncio: loops and asynchronous fixtures between attempts."""

from __future__ import annotations

from tests.plugin.conftest import RunInner


def test_coroutines_are_made_anew_and_healthy_async_fixtures_kept(run_inner: RunInner) -> None:
    run = run_inner(
        """
        import asyncio
        import pytest
        import pytest_asyncio
        from tests.plugin.breakage import Grid, lose_browser, note

        @pytest_asyncio.fixture(scope="session", loop_scope="session")
        async def server():
            note("server+")
            yield asyncio.get_running_loop()
            note("server-")

        @pytest_asyncio.fixture(scope="module", loop_scope="module")
        async def flaky_page():
            if note("flaky+") == 1:
                lose_browser()
            await asyncio.sleep(0)
            yield "page"
            note("flaky-")

        @pytest.mark.asyncio(loop_scope="session")
        async def test_session_loop(server):
            assert asyncio.get_running_loop() is server
            await asyncio.sleep(0)
            if note("session loop") == 1:
                lose_browser()

        @pytest.mark.asyncio(loop_scope="module")
        async def test_module_fixture_fails(flaky_page):
            await asyncio.sleep(0)
            note("module loop")

        @pytest.mark.asyncio(loop_scope="module")
        async def test_module_fixture_kept(flaky_page):
            await asyncio.sleep(0)

        @pytest.mark.asyncio
        async def test_function_loop():
            await asyncio.sleep(0)
            if note("function loop") == 1:
                lose_browser()

        @pytest_asyncio.fixture(scope="module", loop_scope="module")
        async def driver():
            grid = Grid()
            driver = grid.driver()
            note("driver+")
            yield grid, driver
            note("driver-")
            driver.quit()
            grid.close()

        @pytest_asyncio.fixture(scope="module", loop_scope="module")
        async def logged_in(driver):
            note("login+")
            yield driver
            note("login-")

        @pytest.mark.asyncio(loop_scope="module")
        async def test_async_driver_dies(logged_in):
            grid, driver = logged_in
            if note("call") == 1:
                grid.lose(driver)
            assert driver.title == "a page"
            await asyncio.sleep(0)
        """,
        *("-o", "asyncio_default_fixture_loop_scope=function"),
        plugins=("pytest_asyncio.plugin",),
    )
    assert run.status == 0, run.output
    assert run.verdicts == {
        "test_session_loop": "recovered",
        "test_module_fixture_fails": "recovered",
        "test_module_fixture_kept": "passed",
        "test_function_loop": "recovered",
        "test_async_driver_dies": "recovered",
    }
    log = run.log("test_it.txt")
    assert [line for line in log if line.startswith("server")] == ["server+", "server-"]
    assert [line for line in log if line.startswith("flaky")] == ["flaky+", "flaky+", "flaky-"]
    lines = [line for line in log if line in ("call", "login+", "login-", "driver+", "driver-")]
    once = ["driver+", "login+", "call", "login-", "driver-"]
    assert lines == once + once
