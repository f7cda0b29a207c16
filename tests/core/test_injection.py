"""The catalogue of faults: complete, without doubles, and honest about what is not possible."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.core.injection import (
    BROWSERS,
    CATALOGUE,
    DEVTOOLS,
    EVERYWHERE,
    FOXES,
    GRID,
    LOCAL,
    REFUSED,
    RESET,
    SILENT,
    FailureType,
    Fault,
    Intensity,
    Need,
    Platform,
    faults,
    find,
    offers,
    spelled,
)
from pytest_resilience.exceptions import ConfigurationError

each_fault = pytest.mark.parametrize(
    "fault", CATALOGUE, ids=lambda f: f"{f.name}-{f.platforms.value}"
)
each_platform = pytest.mark.parametrize("platform", list(Platform), ids=lambda p: p.name)


class TestIntensity:
    """Mild, moderate, severe."""

    def test_the_order_is_that_of_the_pain_not_of_the_alphabet(self) -> None:
        assert Intensity.MILD < Intensity.MODERATE < Intensity.SEVERE
        assert max(Intensity) is Intensity.SEVERE
        assert min(Intensity) is Intensity.MILD

    @given(st.sampled_from(Intensity), st.sampled_from(Intensity))
    def test_all_comparisons_agree_with_the_rank(self, one: Intensity, other: Intensity) -> None:
        assert (one < other) == (one.rank < other.rank)
        assert (one <= other) == (one.rank <= other.rank)
        assert (one > other) == (one.rank > other.rank)
        assert (one >= other) == (one.rank >= other.rank)

    def test_texts_compare_as_their_members(self) -> None:
        assert Intensity.SEVERE > "moderate"
        assert Intensity.MILD <= "moderate"


class TestPlatform:
    """Where a session runs."""

    @pytest.mark.parametrize(
        ("browser", "remote", "platform"),
        [
            ("chrome", False, Platform.CHROMIUM),
            ("chrome-headless-shell", False, Platform.CHROMIUM),
            ("MicrosoftEdge", True, Platform.GRID_CHROMIUM),
            ("firefox", False, Platform.FIREFOX),
            ("firefox", True, Platform.GRID_FIREFOX),
            ("safari", False, Platform.NO_BROWSER),
            ("", False, Platform.NO_BROWSER),
        ],
    )
    def test_it_follows_from_the_capabilities(
        self, browser: str, remote: bool, platform: Platform
    ) -> None:
        assert Platform.of(browser, remote=remote) is platform

    def test_every_platform_has_words_of_its_own(self) -> None:
        labels = [platform.label for platform in Platform]
        assert len(set(labels)) == len(labels)
        assert all(labels)
        assert LOCAL.label == "Chromium, Firefox"

    def test_the_groups_are_what_they_say(self) -> None:
        assert DEVTOOLS | FOXES == LOCAL | GRID == BROWSERS
        assert BROWSERS | Platform.NO_BROWSER == EVERYWHERE
        assert not DEVTOOLS & FOXES
        assert not LOCAL & GRID


class TestCatalogue:
    """The rows."""

    def test_every_type_is_there_with_every_intensity(self) -> None:
        told = {(fault.type, fault.intensity) for fault in CATALOGUE}
        assert told == set(itertools.product(FailureType, Intensity))

    @each_platform
    def test_no_type_and_intensity_stands_for_two_faults(self, platform: Platform) -> None:
        told = [(fault.type, fault.intensity) for fault in faults(platform)]
        assert len(set(told)) == len(told)

    @each_fault
    def test_a_name_belongs_to_one_type_and_intensity(self, fault: Fault) -> None:
        assert re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", fault.name)
        alike = {(f.type, f.intensity) for f in CATALOGUE if f.name == fault.name}
        assert alike == {(fault.type, fault.intensity)}

    @each_fault
    def test_a_row_is_a_sentence_and_possible_somewhere(self, fault: Fault) -> None:
        assert re.fullmatch(r"[A-Z].*\.", fault.meaning)
        assert fault.platforms
        assert fault.platforms in EVERYWHERE

    @each_fault
    def test_what_tests_survive_has_nothing_to_simulate(self, fault: Fault) -> None:
        if fault.outcome == "survived":
            assert fault.simulation is None
            assert fault.recoverable

    @each_fault
    def test_what_happens_in_one_moment_is_not_survived_but_in_our_own_observer(
        self, fault: Fault
    ) -> None:
        if fault.lasts_s == 0 and fault.name != "raise_in_observer":
            assert fault.outcome in ("recovered", "lost")

    @each_fault
    def test_signals_are_not_offered_behind_a_grid(self, fault: Fault) -> None:
        if "SIG" in fault.meaning and fault.type is not FailureType.WORKER_CRASH:
            assert not fault.platforms & GRID

    @each_fault
    def test_devtools_are_not_offered_for_a_firefox(self, fault: Fault) -> None:
        if "DevTools" in fault.meaning or "chrome://" in fault.meaning:
            assert not fault.platforms & FOXES

    @each_fault
    def test_bidi_is_needed_where_it_is_said(self, fault: Fault) -> None:
        assert ("BiDi" in fault.meaning) == (fault.need is Need.BIDI)

    @each_fault
    def test_a_simulation_is_what_selenium_itself_would_raise(self, fault: Fault) -> None:
        from selenium.webdriver.remote.errorhandler import ErrorCode

        members = [codes for name, codes in vars(ErrorCode).items() if name.isupper()]
        answers = {code for codes in members if isinstance(codes, list) for code in codes}
        if fault.simulation is not None:
            on_the_way = fault.simulation.error in (REFUSED, RESET, SILENT)
            assert on_the_way or fault.simulation.error in answers
            assert on_the_way != bool(fault.simulation.message)

    def test_crashes_get_worse_from_the_page_to_the_browser(self) -> None:
        told = [find(FailureType.CRASH, i, Platform.CHROMIUM).name for i in Intensity]
        assert told == ["kill_renderer", "crash_tab", "kill_browser"]


class TestFind:
    """From type, intensity and platform to the fault."""

    @each_platform
    @pytest.mark.parametrize("intensity", list(Intensity), ids=lambda i: i.value)
    @pytest.mark.parametrize("kind", list(FailureType), ids=lambda k: k.value)
    def test_it_is_found_or_refused(
        self, kind: FailureType, intensity: Intensity, platform: Platform
    ) -> None:
        """As the catalogue says; a refusal names everything that is possible."""
        possible = {(fault.type, fault.intensity) for fault in faults(platform)}
        if (kind, intensity) in possible:
            fault = find(kind, intensity, platform)
            assert (fault.type, fault.intensity) == (kind, intensity)
            assert platform in fault.platforms
        else:
            with pytest.raises(ConfigurationError) as refusal:
                find(kind, intensity, platform)
            assert f"{kind.value}:{intensity.value} is not possible" in refusal.value.message
            assert spelled(faults(platform)) in refusal.value.message

    def test_a_crash_of_one_tab_is_refused_for_a_firefox(self) -> None:
        """There the whole browser ends with a tab."""
        with pytest.raises(ConfigurationError, match=r"crash:mild is not .*crash:moderate/severe"):
            find(FailureType.CRASH, Intensity.MILD, Platform.FIREFOX)

    def test_without_a_browser_nothing_is_offered_that_needs_one(self) -> None:
        assert spelled(offers(Platform.NO_BROWSER)) == (
            "database_error:mild/severe, internal_error:mild/moderate/severe"
        )


class TestOffers:
    """What is possible on several platforms."""

    @given(
        st.sets(st.sampled_from(list(Platform)), min_size=1),
        st.sets(st.sampled_from(Need)),
    )
    def test_what_is_offered_for_several_is_possible_on_each(
        self, platforms: set[Platform], having: set[Need]
    ) -> None:
        together = Platform(0)
        for platform in platforms:
            together |= platform
        for fault in offers(together, having):
            for platform in platforms:
                found = find(fault.type, fault.intensity, platform)
                assert found.need in {Need.NOTHING, *having}

    @each_platform
    def test_with_every_need_met_all_that_is_possible_is_offered(self, platform: Platform) -> None:
        assert offers(platform, Need) == faults(platform)
