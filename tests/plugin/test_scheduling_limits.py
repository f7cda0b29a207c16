"""With pytest-xdist: how often a lost worker is made good, and who has a say in it."""

from __future__ import annotations

import pytest

from tests.plugin.conftest import RunInner, rows

XDIST = ("xdist.plugin",)
MODES = ("load", "loadscope", "loadfile", "loadgroup", "worksteal")


class TestLimits:
    """Losses are made good a bounded number of times, and never against the user's wish."""

    KILLER = """
        import os
        import pytest
        from tests.plugin.breakage import lose_browser, note

        {marker}
        def test_killer():
            if note("killer") {condition}:
                os._exit(1)
            {otherwise}

        @pytest.mark.parametrize("number", range(4))
        def test_passes(number):
            note(f"passes {{number}}")
    """

    def suite(self, marker: str = "", condition: str = "", otherwise: str = "pass") -> str:
        return self.KILLER.format(marker=marker, condition=condition, otherwise=otherwise)

    @pytest.mark.parametrize(
        ("marker", "options"),
        [
            ("@pytest.mark.no_resilience", ()),
            ("@pytest.mark.resilience(max_attempts=1)", ()),
            ("@pytest.mark.resilience(max_level=3)", ()),
            ("", ("--resilience-max-attempts=1",)),
            ("", ("--resilience-max-level=3",)),
        ],
        ids=["no-resilience", "attempts", "level", "all-attempts", "all-levels"],
    )
    def test_who_does_not_want_it_gets_none(
        self, run_inner: RunInner, marker: str, options: tuple[str, ...]
    ) -> None:
        run = run_inner(self.suite(marker), "-n2", *options, plugins=XDIST)
        assert run.counts == {"passed": 4, "unrecovered": 1}, run.output
        assert run.log("test_it.txt").count("killer") == 1

    def test_attempts_in_workers_and_losses_are_one_budget(self, run_inner: RunInner) -> None:
        suite = self.suite(condition="> 1", otherwise="lose_browser()")
        run = run_inner(suite, "-n2", "--resilience-max-attempts=2", plugins=XDIST)
        attempts = run.attempts("test_killer")
        assert [a["error_type"] for a in attempts] == ["browser", "worker"], run.output
        assert [a["number"] for a in attempts] == [1, 2]
        assert run.log("test_it.txt").count("killer") == 2

    def test_where_workers_are_not_replaced_the_others_do_the_rest(
        self, run_inner: RunInner
    ) -> None:
        suite = self.suite(condition="== 1")
        run = run_inner(suite, "-n2", "--max-worker-restart=0", plugins=XDIST)
        assert run.counts == {"passed": 4, "recovered": 1}, run.output
        assert run.status == 0
        assert "worker restarting disabled" in run.output
        assert "gw2" not in run.output.replace(str(run.folder), "")

    @pytest.mark.parametrize("mode", MODES)
    def test_where_no_worker_is_left_the_session_is_red_and_names_what_did_not_run(
        self, run_inner: RunInner, mode: str
    ) -> None:
        options = ("-n1", "--max-worker-restart=0", "--dist", mode)
        run = run_inner(self.suite(), *options, plugins=XDIST)
        assert run.status == 1, run.output
        assert run.counts == {"unrecovered": 5}
        assert run.log("test_it.txt") == ["killer"]
        for number in range(4):
            (attempt,) = run.attempts(f"test_passes[{number}]")
            assert (attempt["error_type"], attempt["rule"]) == ("task", "no-verdict")
            assert "1 workers were lost" in attempt["message"]
            assert f"test_passes[{number}]" in run.output
        assert rows(run, "select count(*) from test_results where verdict = 'unrecovered'") == [
            (5,)
        ]

    def test_a_worker_that_collects_something_else_is_not_used(self, run_inner: RunInner) -> None:
        suite = """
            import os
            import pytest
            from pathlib import Path
            from tests.plugin.breakage import note

            count = 5 if Path("seen").exists() else 4

            @pytest.mark.parametrize("number", range(count))
            def test_it(number):
                Path("seen").touch()
                if note(f"ran {number}") == 1 and number == 0:
                    os._exit(1)
        """
        run = run_inner(suite, "-n1", plugins=XDIST)
        assert run.counts == {"unrecovered": 4}, run.output
        assert "has collected other tests than the others" in run.output
        assert [a["outcome"] for a in run.attempts("test_it[0]")] == ["rerun", "failed"]
        assert run.status == 1
