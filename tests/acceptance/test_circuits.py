"""A browser that is down: others go on, nobody runs into it, and all run once it is back."""

from __future__ import annotations

from typing import Any

import pytest

from tests.acceptance.inner import Run, counted_everywhere
from tests.conftest import SuiteRun

pytestmark = pytest.mark.browser

FILES = {"test_it.py": "@outage"}
XDIST = ("xdist.plugin",)
ALERTED = """
    from pathlib import Path

    def pytest_resilience_alert(health, config):
        told = health["aggregate"]["overall_health"], health["browsers"]["chrome"]["state"]
        with (config.rootpath / "alerts.txt").open("a") as file:
            print(*told, file=file)
"""
NEEDING = ("test_shop[1]", "test_shop[2]", "test_late[0]", "test_late[1]")


def circuit(run: SuiteRun, name: str = "chrome") -> dict[str, Any]:
    found: dict[str, Any] = next(c for c in run.summary["circuits"] if c["name"] == name)
    return found


def states(run: SuiteRun) -> list[str]:
    return [move["to_state"] for move in circuit(run)["transitions"]]


def what_ran(run: SuiteRun) -> list[str]:
    """Return the tests that ran, in order, each as often as it began."""
    return [line for line in run.log() if line[0] not in "+-/"]


def test_tests_wait_behind_the_others_and_then_all_of_them_run(run_browsers: Run) -> None:
    """In their own order, with no more set-ups of what has nothing to do with the browser."""
    run = run_browsers(FILES, env={"OUTAGE": "4"})
    verdicts = run.verdicts
    assert verdicts.pop("test_shop[1]") == "recovered", run.output
    assert set(verdicts.values()) == {"passed"}, run.output
    assert what_ran(run) == [
        *("shop 0", "shop 1", "plain", "last"),
        *("shop 1", "shop 2", "late 0", "late 1"),
    ], run.output
    # Once for the tests before, once more because its module was left and is entered again.
    assert [run.log().count("+wide"), run.log().count("-wide")] in ([1, 1], [2, 2])
    assert states(run)[0] == "open"
    assert states(run)[-2:] == ["half-open", "closed"]
    assert circuit(run)["waited_s"] > 0
    assert counted_everywhere(run) == [{"passed": 6, "recovered": 1}] * 4


def test_a_browser_that_stays_down_blocks_its_tests_under_one_cause(run_browsers: Run) -> None:
    """Nothing that did not run is green, and nothing else is red; people are alerted once."""
    files = {**FILES, "conftest.py": ALERTED}
    run = run_browsers(files, "--resilience-max-wait", "5", env={"OUTAGE": "0"})
    verdicts = run.verdicts
    assert verdicts.pop("test_shop[1]") == "unrecovered", run.output
    assert {verdicts.pop(name) for name in NEEDING[1:]} == {"blocked"}, run.output
    assert set(verdicts.values()) == {"passed"}
    assert run.status == 1
    told = {run.attempts(name)[0]["message"] for name in NEEDING[1:]}
    assert len(told) == 1
    assert "waited for in vain" in run.output
    assert states(run)[-1] != "closed"
    assert run.log("alerts.txt") == ["0.0 OPEN"]
    assert run.output.count("the health of the infrastructure fell to 0 %: chrome (open)") == 1
    assert counted_everywhere(run) == [{"passed": 3, "unrecovered": 1, "blocked": 3}] * 4


@pytest.mark.parametrize(
    ("action", "verdict"), [("block", "blocked"), ("skip", "skipped")], ids=["block", "skip"]
)
def test_without_waiting_the_verdict_comes_at_once(
    action: str, verdict: str, run_browsers: Run
) -> None:
    """In place, and without one more session asked for."""
    run = run_browsers(FILES, "--circuit-open-action", action, env={"OUTAGE": "0"})
    verdicts = run.verdicts
    assert verdicts.pop("test_shop[1]") == "unrecovered", run.output
    assert {verdicts.pop(name) for name in NEEDING[1:]} == {verdict}, run.output
    assert set(verdicts.values()) == {"passed"}
    assert what_ran(run) == ["shop 0", "shop 1", "plain", "last"]
    assert circuit(run)["waited_s"] == 0
    assert run.status == 1


def test_without_circuits_every_test_runs_into_it(run_browsers: Run) -> None:
    run = run_browsers(FILES, "--no-circuit-breaker", env={"OUTAGE": "0"})
    assert {run.verdicts[name] for name in NEEDING} == {"unrecovered"}, run.output
    assert run.summary["circuits"] == []


def test_a_browser_that_never_starts_does_not_touch_the_other(run_browsers: Run) -> None:
    """It is asked for a few times, and its tests are told as blocked from then on."""
    run = run_browsers({"test_it.py": "@two_browsers"}, "--resilience-max-wait", "3")
    good = {name: v for name, v in run.verdicts.items() if "good" in name}
    bad = [v for name, v in run.verdicts.items() if "bad" in name]
    # A circuit is one per browser, and both are called chrome: only time tells them apart.
    assert set(good.values()) <= {"passed", "recovered"}, run.output
    assert sorted(set(bad)) == ["blocked", "unrecovered"], run.output
    assert run.log().count("asked bad") <= 5


def test_what_was_asked_for_outside_of_fixtures_is_refused_as_well(run_browsers: Run) -> None:
    """In the middle of a test, which then waits like the others."""
    source = """
        import lab, pathlib, threading, time
        HERE = pathlib.Path(__file__).parent

        def come_back(down):
            while not (HERE / "other").exists():
                time.sleep(0.05)
            time.sleep(4)
            down.unlink()

        def test_own(number=0):
            mark = HERE / "struck"
            program = HERE / "chromium"
            if not mark.exists():
                mark.touch()
                down = HERE / "down"
                down.touch()
                threading.Thread(target=come_back, args=(down,), daemon=True).start()
                program.write_text(f'#!/bin/sh\\n[ -e "{down}" ] && exit 1\\nexec chromium "$@"\\n')
                program.chmod(0o755)
            driver = lab.launch(binary=str(program))
            lab.visit(driver)
            driver.quit()

        def test_other():
            (HERE / "other").touch()
            driver = lab.launch(binary=str(HERE / "chromium"))
            lab.visit(driver)
            driver.quit()
    """
    run = run_browsers({"test_it.py": source})
    assert run.verdicts == {"test_own": "recovered", "test_other": "recovered"}, run.output
    assert states(run)[-1] == "closed"


def test_all_workers_share_the_circuits(run_browsers: Run) -> None:
    """What one finds down, no other runs into; and nothing of it is left."""
    files = {"test_it.py": "@outage"}
    arguments = ("-n", "2", "--basetemp", "base")
    run = run_browsers(files, *arguments, plugins=XDIST, env={"OUTAGE": "9"})
    assert set(run.verdicts.values()) <= {"passed", "recovered"}, run.output
    assert len(run.verdicts) == 7
    moves = circuit(run)["transitions"]
    assert moves[-1]["to_state"] == "closed", run.output
    # One story, whoever told which part of it.
    assert [m["from_state"] for m in moves[1:]] == [m["to_state"] for m in moves[:-1]]
