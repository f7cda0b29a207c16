"""A lost connection to a database is opened again, in whatever fixture holds it."""

from __future__ import annotations

from tests.conftest import RunSuite, SuiteRun

CONFTEST = """
    import sqlite3

    import pytest

    def log(line):
        with open("log.txt", "a") as file:
            print(line, file=file)

    @pytest.fixture(scope="session")
    def writer(tmp_path_factory):
        log("+writer")
        connection = sqlite3.connect("shop.db", timeout=0, isolation_level=None)
        yield connection
        connection.close()
        log("-writer")

    @pytest.fixture(scope="module")
    def orders(request):
        log("+orders")
        connection = sqlite3.connect("shop.db", timeout=0, isolation_level=None)
        connection.execute("CREATE TABLE IF NOT EXISTS orders (id)")
        yield connection
        connection.close()
        log("-orders")

    @pytest.fixture(scope="module")
    def customer(orders):
        log("+customer")
        yield "anna"
        log("-customer")

    @pytest.fixture(scope="session")
    def catalogue():
        log("+catalogue")
        yield {"books": 3}
        log("-catalogue")
"""
#: A transaction left open in one fixture locks the other one out, until both are new.
TESTS = """
    def test_before(writer, orders, customer, catalogue):
        orders.execute("INSERT INTO orders VALUES (1)")

    def test_leaves_a_transaction_open(writer):
        writer.execute("BEGIN EXCLUSIVE")

    def test_locked_out(orders, customer, catalogue):
        orders.execute("INSERT INTO orders VALUES (2)")
        assert orders.execute("SELECT count(*) FROM orders").fetchone() == (2,)

    def test_after(orders):
        orders.execute("INSERT INTO orders VALUES (3)")
"""


def in_short(run: SuiteRun, name: str) -> list[tuple[str, str, str]]:
    return [(a["outcome"], a["error_type"] or "", a["strategy"] or "") for a in run.attempts(name)]


def test_fixtures_that_hold_connections_of_the_library_are_rebuilt(run_suite: RunSuite) -> None:
    """Of any scope, with what was built on them, and nothing else; the test then passes."""
    run = run_suite({"conftest.py": CONFTEST, "test_it.py": TESTS})
    assert in_short(run, "test_locked_out") == [
        ("rerun", "database", "database_reconnect"),
        ("passed", "", ""),
    ], run.output
    assert run.verdicts["test_after"] == "passed"
    assert sorted(run.log()[:4]) == ["+catalogue", "+customer", "+orders", "+writer"]
    assert sorted(run.log()[4:7]) == ["-customer", "-orders", "-writer"]
    assert run.log().index("-customer") < run.log().index("-orders")
    assert run.log().count("+catalogue") == 1
    assert run.status == 0


def test_without_such_a_fixture_it_is_not_chosen(run_suite: RunSuite) -> None:
    """A connection that the test itself opens is opened again by any other attempt."""
    test = """
        import sqlite3

        tries = []

        def test_locked():
            tries.append(1)
            if len(tries) == 1:
                raise sqlite3.OperationalError("database is locked")
    """
    run = run_suite(test)
    assert run.verdicts == {"test_locked": "recovered"}, run.output
    assert run.attempts("test_locked")[0]["strategy"] != "database_reconnect"


def test_a_retry_alone_does_not_help(run_suite: RunSuite) -> None:
    """That the fixtures are rebuilt is what cures; without that the test stays locked out."""
    files = {"conftest.py": CONFTEST, "test_it.py": TESTS}
    run = run_suite(files, "--resilience-max-level=2")
    assert run.verdicts["test_locked_out"] == "unrecovered", run.output
