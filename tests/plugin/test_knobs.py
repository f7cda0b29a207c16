"""The knobs of a test that runs out: a smaller batch, a lower precision, in its next attempt."""

from __future__ import annotations

import pytest

from tests.plugin.conftest import RunInner

HUNGRY = """
    import pytest

    def test_batches(resilience):
        size = resilience.batch_size(64)
        level = resilience.precision("float32")
        with open("log.txt", "a") as file:
            print(size, level, file=file)
        if size > {most}:
            raise OSError(12, "Cannot allocate memory")
"""


def test_each_shortage_halves_the_batch_and_lowers_the_precision(run_inner: RunInner) -> None:
    run = run_inner(HUNGRY.format(most=16))
    assert run.counts == {"recovered": 1}, run.output
    assert run.log() == ["64 float32", "32 float16", "16 int8"]


def test_the_recovery_is_called_what_it_is(run_inner: RunInner) -> None:
    allowed = '@pytest.mark.resilience(strategies=["batch_reduction", "precision_reduction"])'
    run = run_inner(
        HUNGRY.format(most=32).replace("def test_batches", f"{allowed}\n    def test_batches")
    )
    assert run.counts == {"recovered": 1}, run.output
    first, second = run.attempts("test_batches")
    assert (first["error_type"], first["strategy"], first["level"]) == (
        "resource", "batch_reduction", 4,
    )  # fmt: skip
    assert second["outcome"] == "passed"


def test_a_product_failure_turns_no_knob(run_inner: RunInner) -> None:
    run = run_inner(
        """
        def test_wrong(resilience):
            assert resilience.batch_size(8) == 4
        """
    )
    assert run.counts == {"failed": 1}
    assert len(run.attempts("test_wrong")) == 1


def test_a_wrong_default_is_an_error_of_the_test(run_inner: RunInner) -> None:
    run = run_inner(
        """
        def test_wrong(resilience):
            resilience.precision("float33")
        """
    )
    assert run.counts == {"failed": 1}
    assert "'float33' is not valid; expected one of float64, float32" in run.output


@pytest.mark.parametrize("enabled", [True, False], ids=["switched-on", "switched-off"])
def test_without_a_shortage_they_give_what_is_asked_for(run_inner: RunInner, enabled: bool) -> None:
    run = run_inner(
        """
        def test_asks(resilience):
            assert resilience.batch_size(7) == 7
            assert resilience.precision("bf16") == "bf16"
        """,
        resilience=enabled,
    )
    assert run.status == 0, run.output


def test_an_item_on_another_worker_goes_on_with_its_smaller_batch(run_inner: RunInner) -> None:
    run = run_inner(
        {
            "test_it.py": HUNGRY.format(most=32).replace(
                "def test_batches",
                '@pytest.mark.resilience(strategies=["worker_switch"])\n    def test_batches',
            ),
            "test_other.py": "def test_other(): pass",
        },
        "-n", "2",
        plugins=["xdist"],
    )  # fmt: skip
    assert run.log() == ["64 float32", "32 float16"], run.output
    assert run.attempts("test_batches")[0]["strategy"] == "worker_switch"
