"""What other plugins and conftest files can add, and hear."""

from __future__ import annotations

from tests.conftest import RunSuite

BROKEN = """
    def test_broken():
        raise VendorError("the vendor's cloud is away")

    class VendorError(Exception):
        pass
"""


def test_rules_of_a_conftest_are_asked_before_the_built_in_ones(run_suite: RunSuite) -> None:
    """A failure only the user can name becomes infrastructure, under the name of the rule."""
    conftest = """
        from pytest_resilience import ErrorType, Rule

        def pytest_resilience_classify(config):
            return [Rule("vendor-away", ErrorType.CONNECTION, types=("VendorError",))]
    """
    run = run_suite({"conftest.py": conftest, "test_it.py": BROKEN})
    assert run.verdicts == {"test_broken": "unrecovered"}, run.output
    assert {attempt["rule"] for attempt in run.attempts("test_broken")} == {"vendor-away"}
    assert len(run.attempts("test_broken")) == 4


def test_rules_that_cannot_be_had_cost_a_warning_and_no_verdict(run_suite: RunSuite) -> None:
    """A hook that raises leaves the built-in rules in force."""
    conftest = """
        def pytest_resilience_classify(config):
            raise RuntimeError("no rules today")
    """
    run = run_suite({"conftest.py": conftest, "test_it.py": "def test_fine(): pass"})
    assert (run.status, run.verdicts) == (0, {"test_fine": "passed"}), run.output
    assert "no rules today" in run.output


def test_events_are_offered_in_the_order_in_which_they_happen(run_suite: RunSuite) -> None:
    """Every kind of event reaches a conftest that listens."""
    conftest = """
        def pytest_resilience_event(kind, payload):
            with open("log.txt", "a") as file:
                print(kind, payload.get("nodeid", "").partition("::")[2], file=file)
    """
    test = """
        from urllib3.exceptions import ProtocolError

        seen = []

        def test_wire():
            seen.append(1)
            if len(seen) == 1:
                raise ProtocolError("Connection aborted.", ConnectionResetError(104, "reset"))

        def test_fine():
            pass
    """
    run = run_suite({"conftest.py": conftest, "test_it.py": test}, "--resilience-retry=all")
    assert run.verdicts == {"test_wire": "recovered", "test_fine": "passed"}, run.output
    assert run.log() == [
        "session_started ",
        "error test_wire",
        "attempt test_wire",
        "recovery ",
        "error test_wire",
        "attempt test_wire",
        "test_result test_wire",
        "attempt test_fine",
        "test_result test_fine",
        "session_finished ",
    ]


def test_a_listener_that_raises_changes_nothing(run_suite: RunSuite) -> None:
    """It is reported once, and the suite goes on."""
    conftest = """
        def pytest_resilience_event(kind, payload):
            raise RuntimeError("cannot listen")
    """
    run = run_suite(
        {"conftest.py": conftest, "test_it.py": "def test_a(): pass\ndef test_b(): pass"}
    )
    assert (run.status, run.counts) == (0, {"passed": 2}), run.output
    warnings = run.summary["details"]["warnings"]
    assert [("cannot listen" in warning) for warning in warnings] == [True], warnings


def test_error_hooks_hear_of_the_types_they_asked_for(run_suite: RunSuite) -> None:
    """One registered for everything hears of all, one for a type of that type alone."""
    conftest = """
        from pytest_resilience import register_error_hook

        def note(name):
            def hook(report):
                with open("log.txt", "a") as file:
                    print(name, report.error_type.label, report.context.nodeid, file=file)
            return hook

        register_error_hook("*", note("any"))
        register_error_hook("product", note("product"))
        register_error_hook("browser", note("browser"))
    """
    run = run_suite({"conftest.py": conftest, "test_it.py": "def test_a(): assert 0"})
    assert run.log() == ["any product test_it.py::test_a", "product product test_it.py::test_a"]
