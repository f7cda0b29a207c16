"""Injections to ask for, and to plan."""

from __future__ import annotations

from hypothesis import strategies as st

from pytest_resilience.core.injection import FailureType, Intensity
from pytest_resilience.core.injection_plan import Injection
from pytest_resilience.core.injection_points import Point

CRASH = Injection(FailureType.CRASH)
seeds, nodeids, attempts = st.integers(), st.text(), st.integers(1, 10)
asked = st.builds(
    Injection,
    st.sampled_from(FailureType),
    st.sampled_from(Intensity),
    st.sampled_from([Point("call"), Point("setup"), Point("before", number=2)]),
    st.integers(1, 3),
    st.floats(0, 1),
)
