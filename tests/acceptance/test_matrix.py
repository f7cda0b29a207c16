"""Browser, driver or renderer killed, at every moment, whoever holds the driver: recovered.

Every holder meets every moment; the faults take turns, so that each of them meets every
holder and every moment. With ``ACCEPTANCE=full`` in the environment all combinations run.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.acceptance.inner import Run, told

pytestmark = pytest.mark.browser

FAULTS = ("browser", "driver", "renderer")
TURNS = range(3 if os.environ.get("ACCEPTANCE") == "full" else 1)
DIAGNOSIS = {
    "browser": "browser browser_restart",
    "renderer": "browser fresh_window",
    "driver": "driver driver_restart",
}
#: A tab is not replaced in a browser that is about to end anyway.
DIAGNOSIS_AT_THE_END = {**DIAGNOSIS, "renderer": "browser browser_restart"}

#: What never depends on a browser, and so is never to be made again.
UNRELATED = """
    import lab
    import pytest

    @pytest.fixture(scope="session", autouse=True)
    def catalogue():
        with lab.logged("catalogue"):
            yield

    @pytest.fixture(scope="module", autouse=True)
    def shelf(catalogue):
        with lab.logged("shelf"):
            yield
"""
DRIVER = """
    @pytest.fixture(scope="{scope}")
    def driver():
        with lab.browser() as driver:
            yield driver
"""
VARIANTS = """
    @pytest.fixture(scope="session", params=["--window-size=800,600", "--lang=de"], ids=["a", "b"])
    def driver(request):
        with lab.browser("driver", request.param) as driver:
            yield driver
"""
WRAPPED = """
    class App:
        def __init__(self, driver):
            self.driver = driver

    @pytest.fixture(scope="session")
    def driver():
        with lab.browser() as driver:
            yield App(driver)
"""
BUILT_ON_IT = """
    @pytest.fixture(scope="{scope}")
    def account(driver):
        with lab.account(driver):
            yield driver

    @pytest.fixture
    def page(account):
        with lab.page(account):
            yield account
"""
BUILT_ON_IT_DYNAMICALLY = """
    @pytest.fixture(scope="module")
    def account(request):
        driver = request.getfixturevalue("driver")
        with lab.account(driver):
            yield driver

    @pytest.fixture
    def page(request):
        account = request.getfixturevalue("account")
        with lab.page(account):
            yield account
"""


@dataclass(frozen=True)
class Holder:
    """A way of holding the driver.

    Attributes:
        tests: File with the tests.
        fixtures: Texts that make its conftest.
        prefix: What stands before a test's name.
        next: Tests of the next holder of the same kind, which must not notice anything.
        setup_phase: Phase of a failure in what prepares a test.
        leaving: The moment at which the last user of the driver leaves it.
        log: What is set up and torn down in a run with four faults: only what depends
            on the driver. The name of a moment stands for the repair after its fault.
        repair: What a repair does that replaces the browser.
        tab_repair: What one does that replaces a tab; None if the browser does not outlive
            the test, so that there is none.
    """

    tests: str
    fixtures: tuple[str, ...] = ()
    prefix: str = ""
    next: tuple[str, ...] = ()
    setup_phase: str = "setup"
    leaving: str = "teardown"
    log: tuple[str, ...] = field(default=())
    repair: tuple[str, ...] = ()
    tab_repair: tuple[str, ...] | None = ()

    def diagnosis(self, fault: str) -> str:
        """Return error type and strategy of `fault` while a test uses the driver."""
        return (DIAGNOSIS_AT_THE_END if self.tab_repair is None else DIAGNOSIS)[fault]

    def told(self, faults: dict[str, str]) -> list[str]:
        """Return the log of a run in which these faults strike, by moment."""
        lines: list[str] = []
        for line in self.log:
            if line not in faults:
                lines.append(line)
            elif faults[line] == "renderer":
                lines += self.tab_repair or ()
            else:
                lines += self.repair
        return lines


MAKE, DROP, PAGE = ("+driver", "+account"), ("-account", "-driver"), ("+page", "-page")
ONCE = (*MAKE, *DROP)
REBUILD: dict[str, Any] = {
    "repair": (*DROP, *MAKE),
    "tab_repair": ("-account", "+account"),
}
ALIVE_FOR_LONG = (*MAKE, "setup", *PAGE, "call", "during", *DROP)
#: Before, a failed set-up and its second attempt, a failed call and its, and so on.
NEW_FOR_EACH = (*ONCE * 2, *MAKE, *PAGE, *DROP, *ONCE * 6)
#: The account of a test is new for each; the browser is not.
VISIT = ("+account", "-account")
OWNED: dict[str, Any] = {"repair": ("-driver", "+driver")}

HOLDERS = {
    "function": Holder(
        "tests_of_fixture",
        (DRIVER.format(scope="function"), BUILT_ON_IT.format(scope="function")),
        next=("test_next.py::test_after",),
        log=(*NEW_FOR_EACH, *ONCE),
        tab_repair=None,
    ),
    "class": Holder(
        "tests_of_class",
        (DRIVER.format(scope="class"), BUILT_ON_IT.format(scope="class")),
        prefix="TestShop::",
        next=("TestNext::test_after",),
        log=(*ALIVE_FOR_LONG, *ONCE),
        **REBUILD,
    ),
    "module": Holder(
        "tests_of_fixture",
        (DRIVER.format(scope="module"), BUILT_ON_IT.format(scope="module")),
        next=("test_next.py::test_after",),
        log=(*ALIVE_FOR_LONG, *ONCE),
        **REBUILD,
    ),
    "session": Holder(
        "tests_of_fixture",
        (DRIVER.format(scope="session"), BUILT_ON_IT.format(scope="module")),
        log=ALIVE_FOR_LONG,
        **REBUILD,
    ),
    "wrapper": Holder(
        "tests_of_fixture",
        (WRAPPED, BUILT_ON_IT.format(scope="module")),
        log=ALIVE_FOR_LONG,
        **REBUILD,
    ),
    "dynamic": Holder(
        "tests_of_fixture",
        (DRIVER.format(scope="session"), BUILT_ON_IT_DYNAMICALLY),
        log=ALIVE_FOR_LONG,
        **REBUILD,
    ),
    "setUpClass": Holder(
        "tests_of_testcase",
        prefix="TestShop::",
        next=("TestNext::test_before",),
        setup_phase="call",
        log=("+driver", "call", "during", "setup", "-driver", "+driver", "-driver"),
        **OWNED,
    ),
    "setup_module": Holder(
        "tests_of_setup_module",
        log=(
            *("+driver", *VISIT, *VISIT, "setup", "+account", *PAGE, "-account"),
            *(*VISIT, "call", *VISIT, *VISIT, "during", *VISIT),
            *(*VISIT * 2, "-driver"),
        ),
        **OWNED,
    ),
    "global": Holder(
        "tests_of_global",
        next=("test_after",),
        leaving="leaving",
        log=("+driver", *VISIT * 2, "+account", *PAGE, "-account", *VISIT * 7),
    ),
}


@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize("name", HOLDERS)
def test_every_kill_is_recovered(name: str, turn: int, run_browsers: Run) -> None:
    """Two attempts each, neighbours untouched, and nothing rebuilt that need not be."""
    holder = HOLDERS[name]
    first = list(HOLDERS).index(name) + turn
    fault = {m: FAULTS[(first + i) % 3] for i, m in enumerate(("setup", "call", "during", "last"))}
    work = ("script", "load")[first % 2]
    run = run_browsers(
        suite(holder),
        plan={
            "test_setup": ("setup", fault["setup"]),
            "test_between": ("call", fault["call"]),
            "test_during": (work, fault["during"]),
            "test_teardown": (holder.leaving, fault["last"]),
        },
    )
    expected: dict[str, Any] = {
        "test_before": clean(),
        "test_setup": recovered(holder.setup_phase, holder.diagnosis(fault["setup"])),
        "test_between": recovered("call", holder.diagnosis(fault["call"])),
        "test_during": recovered("call", holder.diagnosis(fault["during"])),
        "test_neighbour": clean(),
        "test_teardown": left_behind(
            (DIAGNOSIS_AT_THE_END if holder.leaving == "teardown" else DIAGNOSIS)[fault["last"]]
        ),
    }
    expected = {holder.prefix + test: result for test, result in expected.items()}
    neighbours = {test.partition(".py::")[2] or test: clean() for test in holder.next}
    assert told(run) == {**expected, **neighbours}, run.output
    assert run.status == 0
    assert_honest(run)
    assert related(run) == holder.told(fault)
    modules = 2 if any("::" in test and ".py" in test for test in holder.next) else 1
    assert unrelated(run) == {
        "+catalogue": 1,
        "-catalogue": 1,
        "+shelf": modules,
        "-shelf": modules,
        **({"+label": 2, "-label": 2} if name == "class" else {}),
    }


def test_every_variant_of_a_driver_is_recovered(run_browsers: Run) -> None:
    """Of a parametrised session driver only the broken variant is rebuilt, each in its turn."""
    plan = {
        "test_setup[a]": ("setup", "renderer"),
        "test_during[a]": ("script", "browser"),
        # The first variant is torn down when the second one is asked for.
        "test_before[b]": ("teardown", "driver"),
        "test_between[b]": ("call", "browser"),
        "test_teardown[b]": ("teardown", "renderer"),
    }
    holder = Holder("tests_of_fixture", (VARIANTS, BUILT_ON_IT.format(scope="module")))
    run = run_browsers(suite(holder), plan=plan)
    moments = ("before", "setup", "between", "during", "neighbour", "teardown")
    assert told(run) == {
        **{f"test_{moment}[{variant}]": clean() for moment in moments for variant in "ab"},
        "test_setup[a]": recovered("setup", DIAGNOSIS["renderer"]),
        "test_during[a]": recovered("call", DIAGNOSIS["browser"]),
        "test_before[b]": recovered("setup", DIAGNOSIS["driver"]),
        "test_between[b]": recovered("call", DIAGNOSIS["browser"]),
        "test_teardown[b]": left_behind(DIAGNOSIS_AT_THE_END["renderer"]),
    }, run.output
    assert_honest(run)
    first = [*MAKE, "-account", "+account", *PAGE, *DROP, *MAKE, *DROP]
    second = [*MAKE, *PAGE, *DROP, *MAKE, *DROP]
    assert related(run) == first + second
    assert unrelated(run) == {"+catalogue": 1, "-catalogue": 1, "+shelf": 1, "-shelf": 1}


def test_a_driver_kept_where_no_fixture_sees_it_is_recovered(run_browsers: Run) -> None:
    """Making its fixture anew does not help, once; from then on it is reborn in place."""
    plan = {"test_first": ("call", "browser"), "test_second": ("call", "driver")}
    run = run_browsers({"test_it.py": "@singleton"}, plan=plan)
    first = told(run)
    assert first == {
        "test_before": clean(),
        "test_first": (
            "recovered",
            "rerun in call browser browser_restart",
            "rerun in call driver driver_restart",
            "passed",
        ),
        "test_second": recovered("call", DIAGNOSIS["driver"]),
        "test_after": clean(),
    }, run.output
    assert run.log() == ["+driver", "-driver"] * 2


def suite(holder: Holder) -> dict[str, str]:
    """Return the files of the inner suite of `holder`."""
    files = {"test_it.py": f"@{holder.tests}", "conftest.py": UNRELATED + "".join(holder.fixtures)}
    if "test_next.py::test_after" in holder.next:
        files["test_next.py"] = "import lab\n\ndef test_after(account):\n    lab.visit(account)\n"
    return files


def clean() -> tuple[str, ...]:
    return "passed", "passed"


def recovered(phase: str, diagnosis: str) -> tuple[str, ...]:
    return "recovered", f"rerun in {phase} {diagnosis}", "passed"


def left_behind(diagnosis: str) -> tuple[str, ...]:
    """The test had passed; only its teardown met the fault, and there is nothing to repeat."""
    return "recovered", f"passed in teardown {diagnosis}"


def assert_honest(run: Any) -> None:
    """Every failed attempt says what was seen, and no other claims to have seen anything."""
    attempts = [attempt for test in run.summary["tests"] for attempt in test["attempts"]]
    for attempt in attempts:
        assert bool(attempt["evidence"]) == bool(attempt["error_type"])
        assert bool(attempt["rule"]) == bool(attempt["error_type"])
        assert (attempt["level"] in (2, 3)) == bool(attempt["strategy"])


def related(run: Any) -> list[str]:
    return [line for line in run.log() if line[1:] in ("driver", "account", "page")]


def unrelated(run: Any) -> dict[str, int]:
    return Counter(line for line in run.log() if line[1:] in ("catalogue", "shelf", "label"))
