"""`circuit_breaker`: the circuit of a test's own type, and what it does to others of that type."""

from __future__ import annotations

import pytest

from tests.plugin.conftest import RunInner

SUITE = """
    import pytest
    from pytest_resilience import CircuitOpenError, get_health_metrics

    pytestmark = pytest.mark.resilience(test_type="checkout")

    def down():
        raise ConnectionError("the payment service")

    def test_opens(circuit_breaker):
        for _ in range(5):
            with pytest.raises(ConnectionError):
                circuit_breaker.execute(down)
        with pytest.raises(CircuitOpenError):
            circuit_breaker.execute(down)
        assert circuit_breaker.get_state() == "open"
        assert get_health_metrics()["test_types"]["checkout"]["state"] == "OPEN"

    def test_waits():
        pass

    @pytest.mark.resilience(test_type="search")
    def test_other_type(circuit_breaker):
        assert (circuit_breaker.kind, circuit_breaker.name) == ("test_type", "search")
        assert circuit_breaker.get_state() == "closed"
"""


def test_tests_of_a_type_whose_circuit_is_open_are_held_back(run_inner: RunInner) -> None:
    """Those of other types are not."""
    run = run_inner(SUITE, "--circuit-open-action", "block")
    assert run.verdicts == {
        "test_opens": "passed",
        "test_waits": "blocked",
        "test_other_type": "passed",
    }, run.output


def test_what_nobody_can_try_is_tried_by_the_next_test_of_its_type(run_inner: RunInner) -> None:
    arguments = ("--circuit-breaker-recovery-timeout", "3", "--resilience-max-wait", "60")
    run = run_inner(SUITE, *arguments)
    assert set(run.verdicts.values()) == {"passed"}, run.output
    assert list(run.verdicts) == ["test_opens", "test_other_type", "test_waits"]


def test_without_a_marker_it_is_that_of_the_module(run_inner: RunInner) -> None:
    """Also where the plugin is not switched on."""
    source = """
        def test_it(circuit_breaker):
            assert (circuit_breaker.kind, circuit_breaker.name) == ("test_type", "test_it.py")
    """
    assert run_inner(source).status == 0
    assert run_inner(source, resilience=False).status == 0


@pytest.mark.parametrize("value", ["''", "3", "None"], ids=["empty", "number", "none"])
def test_a_type_is_a_name(value: str, run_inner: RunInner) -> None:
    source = f"""
        import pytest

        @pytest.mark.resilience(test_type={value})
        def test_it():
            pass
    """
    run = run_inner(source)
    assert run.status == 4
    assert f"resilience(test_type=...): {value} is not valid; expected a name." in run.output
