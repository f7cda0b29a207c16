"""Fixtures that hold a driver: rebuilt with what is built on them, however their set-up broke."""

from __future__ import annotations

import pytest

from tests.conftest import SuiteRun
from tests.plugin.conftest import RunInner

DRIVERS = {
    "conftest.py": """
        import pytest
        from tests.plugin.breakage import Grid

        @pytest.fixture(scope="session")
        def grid():
            grid = Grid()
            yield grid
            grid.close()
    """,
    "test_dependants.py": """
        import pytest
        from tests.plugin.breakage import note

        @pytest.fixture(scope="session")
        def database():
            note("database+")
            yield
            note("database-")

        @pytest.fixture(scope="session")
        def driver(grid, database):
            note("driver+")
            driver = grid.driver()
            yield driver
            note("driver-")
            driver.quit()

        @pytest.fixture(scope="module")
        def unrelated():
            note("unrelated+")
            yield
            note("unrelated-")

        @pytest.fixture(scope="module")
        def logged_in(driver):
            note("login+")
            yield driver
            note("login-")

        @pytest.fixture(scope="module")
        def asked_for(request):
            note("asked+")
            yield request.getfixturevalue("driver")
            note("asked-")

        @pytest.fixture
        def page(logged_in, asked_for, unrelated):
            note("page+")
            assert asked_for is logged_in
            yield logged_in
            note("page-")

        def test_driver_dies(page, grid):
            if note("call") == 1:
                grid.lose(page)
            assert page.title == "a page"

        def test_driver_lives_on(page):
            assert page.title == "a page"
    """,
    "test_noisy.py": """
        import pytest
        from tests.plugin.breakage import note

        @pytest.fixture(scope="module")
        def noisy_driver(grid):
            note("driver+")
            driver = grid.driver()
            session = driver.session_id
            yield driver
            note("driver-")
            if session not in grid.sessions:
                raise TimeoutError("quit() took too long")
            driver.quit()

        def test_noisy_teardown(noisy_driver, grid):
            if note("call") == 1:
                grid.lose(noisy_driver)
            assert noisy_driver.title == "a page"

        def test_after_noisy_teardown(noisy_driver):
            assert noisy_driver.title == "a page"
    """,
    "test_driver_parameters.py": """
        import pytest
        from tests.plugin.breakage import note

        @pytest.fixture(scope="module", params=["small", "large"])
        def sized(grid, request):
            note(f"{request.param}+")
            driver = grid.driver()
            yield driver, request.param
            note(f"{request.param}-")
            driver.quit()

        def test_window_size(sized, grid):
            driver, size = sized
            if note(f"call {size}") == 1 and size == "large":
                grid.lose(driver)
            assert driver.title == "a page"
    """,
}


@pytest.fixture(scope="module")
def drivers(run_inner: RunInner) -> SuiteRun:
    """One run of a suite whose driver sessions are lost."""
    return run_inner(DRIVERS)


def test_lost_driver_sessions_fail_no_test(drivers: SuiteRun) -> None:
    assert drivers.status == 0, drivers.output
    assert drivers.counts == {"passed": 3, "recovered": 3}


def test_a_driver_that_died_is_rebuilt_with_all_that_is_built_on_it_and_nothing_else(
    drivers: SuiteRun,
) -> None:
    log = drivers.log("test_dependants.txt")
    first = ["database+", "driver+", "login+", "asked+", "unrelated+", "page+", "call"]
    assert log[:7] == first
    # Torn down from the outside in, whatever order the two dependants have.
    assert log[7] == "page-"
    assert sorted(log[8:10]) == ["asked-", "login-"]
    assert log[10:12] == ["driver-", "driver+"]
    assert sorted(log[12:14]) == ["asked+", "login+"]
    assert log[14:18] == ["page+", "call", "page-", "page+"]
    assert [line for line in log if "unrelated" in line] == ["unrelated+", "unrelated-"]
    assert [line for line in log if "database" in line] == ["database+", "database-"]
    assert log.index("driver-", 12) > max(log.index(x, 12) for x in ("login-", "asked-"))
    assert log[-1] == "database-"


def test_a_teardown_that_fails_on_the_dead_driver_is_no_error_of_the_test(
    drivers: SuiteRun,
) -> None:
    assert drivers.log("test_noisy.txt") == [
        *("driver+", "call", "driver-", "driver+", "call", "driver-")
    ]
    assert drivers.verdicts["test_noisy_teardown"] == "recovered"
    assert " error" not in drivers.output.splitlines()[-1]


def test_a_driver_that_was_lost_unnoticed_is_no_error_when_it_is_quit(
    run_inner: RunInner,
) -> None:
    run = run_inner(
        """
        import pytest
        from tests.plugin.breakage import Grid

        @pytest.fixture(scope="session")
        def grid():
            grid = Grid()
            yield grid
            grid.close()

        @pytest.fixture(scope="session")
        def driver(grid):
            driver = grid.driver()
            yield driver
            driver.quit()

        def test_uses_driver(driver):
            assert driver.title == "a page"

        def test_meanwhile(driver, grid):
            grid.lose(driver)
        """
    )
    assert run.verdicts == {"test_uses_driver": "passed", "test_meanwhile": "recovered"}, run.output
    assert run.status == 0


def test_a_parametrized_driver_is_rebuilt_with_its_own_parameter(drivers: SuiteRun) -> None:
    assert drivers.log("test_driver_parameters.txt") == [
        *("small+", "call small", "small-"),
        *("large+", "call large", "large-", "large+", "call large", "large-"),
    ]


def test_a_set_up_that_a_hook_broke_is_tried_again(run_inner: RunInner) -> None:
    run = run_inner(
        {
            "conftest.py": """
                import pytest
                from tests.plugin.breakage import lose_browser, note

                @pytest.hookimpl(wrapper=True)
                def pytest_fixture_setup(fixturedef, request):
                    if fixturedef.argname == "page" and note("hook") == 1:
                        lose_browser()
                    return (yield)
            """,
            "test_it.py": """
                import pytest
                from tests.plugin.breakage import note

                @pytest.fixture(scope="module")
                def page():
                    note("page+")
                    yield
                    note("page-")

                def test_hook_broke_set_up(page):
                    note("call")
            """,
        }
    )
    assert run.verdicts == {"test_hook_broke_set_up": "recovered"}, run.output
    assert run.log("test_it.txt") == ["page+", "call", "page-"]


def test_a_set_up_that_a_collector_broke_is_tried_again(run_inner: RunInner) -> None:
    run = run_inner(
        {
            "conftest.py": """
                import pytest
                from tests.plugin.breakage import lose_browser, note

                class Module(pytest.Module):
                    def setup(self):
                        if note("setup") == 1:
                            lose_browser()

                def pytest_pycollect_makemodule(module_path, parent):
                    return Module.from_parent(parent, path=module_path)
            """,
            "test_it.py": """
                def test_collector_broke_set_up():
                    pass

                def test_after_it():
                    pass
            """,
        }
    )
    assert run.verdicts == {
        "test_collector_broke_set_up": "recovered",
        "test_after_it": "passed",
    }, run.output
