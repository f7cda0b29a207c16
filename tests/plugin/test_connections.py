"""Which fixtures hold a connection of the database library that failed."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest

from pytest_resilience.plugin.connections import holders, libraries
from pytest_resilience.plugin.observe import exception_chain


class Keeper:
    """Fixtures that are set up, by name."""

    def __init__(self, **values: Any) -> None:
        self._values = values

    def values(self) -> Iterator[tuple[str, Any]]:
        return iter(self._values.items())


def of_module(module: str, name: str, *bases: type, **members: Any) -> type:
    return type(name, bases or (object,), {"__module__": module, **members})


Closing = {"close": lambda self: None}
Connection = of_module("psycopg2.extensions", "connection", **Closing)
Tuned = of_module("shop.database", "Tuned", Connection)
Engine = of_module("sqlalchemy.engine.base", "Engine", dispose=lambda self: None)
Row = of_module("psycopg2.extras", "Row")
Other = of_module("shop.database", "Pool", **Closing)
Compiled = of_module("_duckdb", "DuckDBPyConnection", **Closing)
KEEPER: Any = Keeper(
    plain=Connection(), tuned=Tuned(), engine=Engine(), row=Row(), other=Other(), text="psycopg2"
)
VendorError = of_module("vendordb.errors", "DatabaseError", Exception)
Lost = of_module("vendordb.errors", "Lost", VendorError)
Wrapped = of_module("sqlalchemy.exc", "OperationalError", Exception)


@pytest.mark.parametrize(
    ("failed", "names"),
    [
        ({"psycopg2"}, ["plain", "tuned"]),
        ({"psycopg2", "sqlalchemy"}, ["plain", "tuned", "engine"]),
        ({"pymysql"}, []),
        (set(), []),
    ],
    ids=["its-own-and-subclasses", "wrapped", "another", "none"],
)
def test_a_fixture_is_known_by_the_class_of_its_value(failed: set[str], names: list[str]) -> None:
    assert holders(KEEPER, frozenset(failed)) == names


def test_what_a_compiled_part_hands_out_belongs_to_its_library() -> None:
    keeper: Any = Keeper(database=Compiled())
    assert holders(keeper, frozenset({"duckdb"})) == ["database"]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        pytest.param(sqlite3.OperationalError("locked"), {"sqlite3"}, id="known"),
        pytest.param(Lost("gone"), {"vendordb"}, id="standard-name"),
        pytest.param(ConnectionError("gone"), set(), id="no-database"),
    ],
)
def test_a_library_is_known_by_what_it_raises(error: Exception, expected: set[str]) -> None:
    assert libraries(exception_chain(error)) == expected


def test_one_that_wraps_another_is_not_alone() -> None:
    error = Wrapped("gone")
    error.__cause__ = sqlite3.OperationalError("locked")
    assert libraries(exception_chain(error)) == {"sqlalchemy", "sqlite3"}
