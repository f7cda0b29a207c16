"""How many tests an outage of the grid costs, and how often it is asked while it is down.

    python -m benchmarks.outage [--replicates 50]

Part 1, simulated: 8 workers run 400 tests of about 6 s each; after a minute the grid is down for
20, 60 or 300 s, and a request for a session then takes 10 s to fail. Compared are no circuit at
all, a circuit that refuses tests (what circuit breakers do for services), and one that holds
them. The circuits are the real ones, shared by the workers, with the settings of a run.

Invariant: all designs meet the same outages. A bar is printed as met or not met as it is.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.machine import described
from benchmarks.outage_world import (
    LONGEST_PAUSE_S,
    Doing,
    Holding,
    Plan,
    Run,
    Told,
    failing_fast,
    played,
    without_circuit,
)
from pytest_resilience.config import Settings
from pytest_resilience.core.circuit import CircuitBreaker, CircuitConfig

SEED = 20_260
DEAD_S = (20.0, 60.0, 300.0)
#: Longer than any of the outages.
PATIENT_S = 600.0
#: Sessions that may be asked for in vain, in one outage.
REQUESTS_BAR = 20


@dataclass(frozen=True)
class Design:
    """What is compared.

    Attributes:
        status_tells: Whether the grid's status says that it is down, or that all is well.
        longest_s: Longest time after which the circuit is tried.
        bars: Whether the bars are for it.
    """

    name: str
    one_test: Callable[[Run, CircuitBreaker], Doing]
    status_tells: bool = True
    longest_s: float = Settings().circuit_recovery_timeout
    bars: bool = False

    def config(self) -> CircuitConfig:
        """Return the parameters of the circuit: those of a run, but for the longest time."""
        settings = Settings()
        return CircuitConfig(
            failure_threshold=settings.circuit_threshold,
            recovery_timeout=self.longest_s,
            half_open_after=settings.circuit_half_open_after,
        )


DESIGNS = (
    Design("no circuit", without_circuit),
    Design("fail fast", failing_fast),
    Design("hold", Holding(PATIENT_S), bars=True),
    Design("hold, status lies", Holding(PATIENT_S), status_tells=False, bars=True),
    Design(
        f"  tried each {LONGEST_PAUSE_S:g} s",
        Holding(PATIENT_S),
        status_tells=False,
        longest_s=LONGEST_PAUSE_S,
    ),
    Design(f"hold, {Settings().max_wait:g} s at most", Holding(Settings().max_wait)),
)


def outcomes(design: Design, dead_s: float, replicates: int) -> list[Told]:
    """Return what becomes of so many runs; those of one number are alike for all designs."""
    return [
        played(
            Plan(dead_s=dead_s, status_tells=design.status_tells, seed=SEED + number),
            design.one_test,
            design.config(),
        )
        for number in range(replicates)
    ]


def line(name: str, told: list[Told]) -> str:
    """Return the means of these runs, and the worst numbers of lost tests and dead requests."""
    late = [one.late_s for one in told if one.late_s is not None]
    return (
        f"  {name:22}"
        f" {statistics.fmean(one.lost for one in told):6.1f} {max(one.lost for one in told):5}"
        f" {statistics.fmean(one.dead_requests for one in told):9.1f}"
        f" {max(one.dead_requests for one in told):5}"
        f" {statistics.fmean(one.wasted_s for one in told):9.0f}"
        f" {f'{statistics.fmean(late):.1f}' if late else '-':>7}"
        f" {statistics.fmean(one.seconds for one in told):7.0f}"
    )


def main() -> int:
    """Play, print; 1 if a bar is not met."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--replicates", type=int, default=50)
    replicates = parser.parse_args().replicates
    print(described())
    print(f"{replicates} runs each; means, and the worst of lost tests and dead requests")
    bars: list[tuple[str, bool]] = []
    for dead_s in DEAD_S:
        print(f"grid down for {dead_s:g} s")
        print(
            "  design                  lost (most)  dead requests (most) wasted s  late s   run s"
        )
        for design in DESIGNS:
            told = outcomes(design, dead_s, replicates)
            print(line(design.name, told))
            if design.bars:
                where = f"{design.name}, {dead_s:g} s"
                lost = max(one.lost for one in told)
                requests = max(one.dead_requests for one in told)
                bars += [
                    (f"{where}: at most {lost} tests lost of {Plan().tests}, none", lost == 0),
                    (f"{where}: at most {requests} dead requests, {REQUESTS_BAR}",
                     requests <= REQUESTS_BAR),
                ]  # fmt: skip
    for text, met in bars:
        print(f"{'met    ' if met else 'NOT MET'} {text}")
    return 0 if all(met for _, met in bars) else 1


if __name__ == "__main__":
    sys.exit(main())
