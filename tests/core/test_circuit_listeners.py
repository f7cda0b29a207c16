"""Listeners hear everything once and in order, and disturb nobody."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from pytest_resilience.core.circuit_listeners import MOST_FAILURES, Listeners


@pytest.fixture
def listeners() -> Listeners[int]:
    return Listeners()


def told(listeners: Listeners[int], *news: int) -> None:
    listeners.post(news)
    listeners.deliver()


def test_each_hears_everything_in_order(listeners: Listeners[int]) -> None:
    heard: list[tuple[str, int]] = []
    listeners.add(lambda n: heard.append(("a", n)))
    listeners.add(lambda n: heard.append(("b", n)))
    told(listeners, 1, 2)
    assert heard == [("a", 1), ("b", 1), ("a", 2), ("b", 2)]


def test_who_is_removed_hears_nothing_more(listeners: Listeners[int]) -> None:
    one: list[int] = []
    other: list[int] = []
    for heard in (one, other):
        listeners.add(heard.append)
    told(listeners, 1)
    listeners.remove(one.append)
    listeners.remove(print)
    told(listeners, 2)
    assert (one, other) == ([1], [1, 2])


def test_what_one_raises_is_kept_and_the_others_hear_all_the_same(
    listeners: Listeners[int],
) -> None:
    heard: list[int] = []

    def angry(number: int) -> None:
        raise RuntimeError(f"not {number}")

    listeners.add(angry)
    listeners.add(heard.append)
    told(listeners, 1, 2)
    assert heard == [1, 2]
    name = angry.__qualname__
    assert listeners.failures == (f"{name}: RuntimeError: not 1", f"{name}: RuntimeError: not 2")


def test_one_without_a_name_is_shown_as_it_is(listeners: Listeners[int]) -> None:
    class Angry:
        def __call__(self, number: int) -> None:
            raise RuntimeError("no")

        def __repr__(self) -> str:
            return "<angry>"

    listeners.add(Angry())
    told(listeners, 1)
    assert listeners.failures == ("<angry>: RuntimeError: no",)


def test_only_the_latest_failures_are_kept(listeners: Listeners[int]) -> None:
    def angry(number: int) -> None:
        raise RuntimeError(number)

    listeners.add(angry)
    told(listeners, *range(MOST_FAILURES + 5))
    assert len(listeners.failures) == MOST_FAILURES == 20
    assert listeners.failures[-1].endswith(f"RuntimeError: {MOST_FAILURES + 4}")


def test_news_from_a_listener_are_told_after_what_it_hears(listeners: Listeners[int]) -> None:
    heard: list[Any] = []

    def echoing(number: int) -> None:
        heard.append(number)
        if number < 3:
            told(listeners, number + 1)
            heard.append(f"after {number}")

    listeners.add(echoing)
    told(listeners, 1)
    assert heard == [1, "after 1", 2, "after 2", 3]


def test_an_interrupt_in_a_listener_gets_out_and_the_rest_is_told_later(
    listeners: Listeners[int],
) -> None:
    heard: list[int] = []

    def interrupted(number: int) -> None:
        if number == 1:
            raise KeyboardInterrupt
        heard.append(number)

    listeners.add(interrupted)
    with pytest.raises(KeyboardInterrupt):
        told(listeners, 1, 2)
    told(listeners, 3)
    assert heard == [2, 3]


def test_nobody_waits_for_a_slow_listener_of_another_thread(listeners: Listeners[int]) -> None:
    heard: list[int] = []
    reached, go_on = threading.Event(), threading.Event()

    def slow(number: int) -> None:
        reached.set()
        assert go_on.wait(60)
        heard.append(number)

    listeners.add(slow)
    thread = threading.Thread(target=told, args=(listeners, 1))
    thread.start()
    assert reached.wait(60)
    told(listeners, 2)
    assert heard == []
    go_on.set()
    thread.join(60)
    assert heard == [1, 2]


def test_many_threads_lose_and_double_nothing(listeners: Listeners[int]) -> None:
    heard: list[int] = []
    listeners.add(heard.append)

    def tell_often(number: int) -> None:
        for _ in range(200):
            told(listeners, number)

    threads = [threading.Thread(target=tell_often, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    listeners.deliver()
    assert sorted(heard) == sorted(list(range(8)) * 200)
