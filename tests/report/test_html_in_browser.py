"""The page in a real browser, opened from its file."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from pytest_resilience.core.events import Attempt, TestResult
from pytest_resilience.report.html import write_html
from pytest_resilience.report.summary import SessionInfo, Summary

pytestmark = pytest.mark.browser

PAYLOADS = [
    "<script>window.hacked = 1</script>",
    "</script><script>window.hacked = 1</script>",
    "<img src=x onerror='window.hacked = 1'>",
    "<!--<script>window.hacked = 1//-->",
    '"><svg onload=window.hacked=1>',
    "javascript:window.hacked=1",
    "</pre></details><iframe srcdoc='<script>parent.hacked=1</script>'>",
]

Open = Callable[..., Any]


@pytest.fixture
def opened(chromium: Any, tmp_path: Path) -> Open:
    """Write a summary's page and open it, at a fragment if one is given."""
    from selenium.webdriver.support.ui import WebDriverWait

    def open_page(summary: Summary, fragment: str = "") -> Any:
        path = tmp_path / "report.html"
        write_html(summary, path)
        chromium.get("about:blank")
        for log in ("browser", "performance"):
            chromium.get_log(log)
        chromium.get(f"{path.as_uri()}{fragment}")
        ready = "return document.documentElement.dataset.ready"
        WebDriverWait(chromium, 60).until(lambda driver: driver.execute_script(ready))
        return chromium

    return open_page


@pytest.fixture
def many() -> Summary:
    """250 tests, every tenth recovered, on three workers, the last the slowest."""
    tests = []
    for n in range(250):
        attempts = [Attempt(duration_s=0.1 + n, worker=f"gw{n % 3}")]
        if n % 10 == 0:
            attempts.insert(
                0, Attempt(outcome="rerun", error_type="browser", strategy="browser_restart")
            )
        verdict = "recovered" if n % 10 == 0 else "passed"
        tests.append(
            TestResult(f"a.py::test_{n:03}", verdict, f"gw{n % 3}", 0, 0.1 + n, "", attempts)
        )
    return Summary(SessionInfo(rootdir="shop"), tests)


def names(driver: Any) -> list[str]:
    script = "return [...document.querySelectorAll('#rows .test b')].map(b => b.textContent)"
    found: list[str] = driver.execute_script(script)
    return found


def click(driver: Any, selector: str) -> None:
    driver.find_element("css selector", selector).click()


def fragment(driver: Any, expected: str) -> None:
    """Wait until the address ends with `expected`."""
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(driver, 20).until(lambda d: d.current_url.partition("#")[2] == expected)


def test_opens_without_errors_and_without_network(opened: Open, summary: Summary) -> None:
    """The console stays empty, and the only request is the one for the file itself."""
    driver = opened(summary)
    assert driver.get_log("browser") == []
    messages = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    asked = [
        message["params"]["request"]["url"]
        for message in messages
        if message["method"] == "Network.requestWillBeSent"
    ]
    outside = [url for url in asked if not url.startswith(("file:", "data:", "blob:", "about:"))]
    assert (len([url for url in asked if url.startswith("file:")]), outside) == (1, [])


@pytest.mark.parametrize("payload", PAYLOADS, ids=range(len(PAYLOADS)))
def test_hostile_text_is_shown_and_not_run(opened: Open, payload: str) -> None:
    """Payloads in ids, messages, tracebacks, evidence and facts stay text, also when unfolded."""
    attempt = Attempt(
        outcome="failed",
        error_type="product",
        message=payload,
        exception=payload,
        rule=payload,
        traceback=payload,
        strategy=payload,
        evidence=({"probe": payload, "answer": payload, "detail": payload, "cost_s": 0.1},),
    )
    change = {"at_s": 1, "from_state": payload, "to_state": payload, "reason": payload}
    root = TestResult(payload, "unrecovered", attempts=[replace(attempt, error_id=payload)])
    told = Attempt(error_type="circuit_open", root_error_id=payload)
    tests = [
        TestResult(f"t.py::test[{payload}]", "failed", payload, 0, 1.0, payload, [attempt]),
        TestResult(payload, "blocked", payload, 0, 1.0, payload, [told]),
        root,
    ]
    driver = opened(
        Summary(
            SessionInfo(rootdir=payload, facts={payload: payload}),
            tests,
            circuits=[
                {"name": payload, "state": payload},
                {"name": payload, "kind": payload, "state": "open", "transitions": [change]},
            ],
            warnings=[payload],
        )
    )
    for _ in tests:
        click(driver, "#rows .test[aria-expanded=false]")
    assert driver.execute_script("return window.hacked") is None
    assert names(driver)[0] == f"test[{payload}]"
    assert driver.execute_script("return document.scripts.length") == 2
    count = "return document.querySelectorAll('iframe, img, [onload], [onerror]').length"
    assert driver.execute_script(count) == 0
    assert driver.get_log("browser") == []


def test_a_link_with_a_hostile_fragment_does_nothing(opened: Open, many: Summary) -> None:
    """Values from the address are text too, and unknown ones are ignored."""
    parts = {
        "q": PAYLOADS[0],
        "verdict": PAYLOADS[2],
        "sort": "__proto__",
        "page": "-7",
        "test": "x",
    }
    driver = opened(many, "#" + urlencode(parts))
    assert driver.execute_script("return window.hacked") is None
    assert driver.find_element("id", "status").text == "No test fits this filter."
    assert driver.get_log("browser") == []


def test_filter_finds_words_in_any_order_and_excludes(opened: Open, many: Summary) -> None:
    """Words narrow the table, a leading minus excludes, and the address keeps the filter."""
    driver = opened(many)
    box = driver.find_element("id", "filter")
    box.send_keys("WORKER:gw1 test_00 -test_007")
    assert names(driver) == ["test_001", "test_004"]
    fragment(driver, "q=WORKER%3Agw1+test_00+-test_007")
    box.clear()
    box.send_keys("strategy:browser_restart test_01")
    assert names(driver) == ["test_010"]


def test_verdict_buttons_and_tiles_filter(opened: Open, many: Summary) -> None:
    """A verdict's button shows only its tests and says it is pressed; a tile does the same."""
    driver = opened(many)
    click(driver, '[data-verdict="recovered"]')
    assert len(names(driver)) == 25
    pressed = driver.find_element("css selector", '[data-verdict="recovered"]')
    assert pressed.get_attribute("aria-pressed") == "true"
    click(driver, '[data-verdict="recovered"]')
    assert len(names(driver)) == 100
    driver.execute_script("scrollTo(0, 0)")  # from under the navigation
    click(driver, '.tiles a[href="#verdict=recovered"]')
    fragment(driver, "verdict=recovered")
    assert len(names(driver)) == 25


def test_sorting_turns_round_and_back(opened: Open, many: Summary) -> None:
    """A head sorts up, then down, then not at all, and says so to screen readers."""
    driver = opened(many)
    head = driver.find_element("xpath", "//button[@data-sort='s']/..")
    seen = []
    for _ in range(3):
        click(driver, "[data-sort='s']")
        seen.append((names(driver)[0], head.get_attribute("aria-sort")))
    assert seen == [
        ("test_000", "ascending"),
        ("test_249", "descending"),
        ("test_000", None),
    ]


def test_pages_hold_a_hundred_tests(opened: Open, many: Summary) -> None:
    """The third page has the last fifty; there is no fourth; the address keeps the page."""
    driver = opened(many)
    for _ in range(2):
        driver.find_element("xpath", "//button[text()='Next']").click()
    assert (names(driver)[0], len(names(driver))) == ("test_200", 50)
    assert driver.find_element("id", "status").text == "201 to 250 of 250 tests"
    assert not driver.find_element("xpath", "//button[text()='Next']").is_enabled()
    fragment(driver, "page=3")


def test_deep_link_restores_the_view(opened: Open, many: Summary) -> None:
    """An address someone was sent shows what its sender saw."""
    driver = opened(many, "#q=worker%3Agw2&verdict=recovered&sort=-s")
    assert names(driver)[:2] == ["test_230", "test_200"]
    assert driver.find_element("id", "filter").get_attribute("value") == "worker:gw2"


def test_deep_link_to_a_test_opens_it(opened: Open, many: Summary) -> None:
    """A link to one test turns to its page, unfolds it and puts the focus there."""
    driver = opened(many, "#" + urlencode({"test": "a.py::test_170"}))
    focused = driver.switch_to.active_element
    assert focused.text.startswith("test_170")
    assert focused.get_attribute("aria-expanded") == "true"
    assert "browser_restart" in driver.find_element("css selector", "#rows .more").text


def test_a_test_unfolds_with_all_its_attempts(opened: Open, summary: Summary) -> None:
    """Unfolded, a row tells diagnosis, evidence, recovery and traceback of every attempt."""
    driver = opened(summary)
    click(driver, "#rows tr:nth-child(2) .test")
    text = driver.find_element("css selector", "#rows .more").text
    for expected in (
        "Attempt 1 failed, then repeated",
        "browser · infrastructure · severity high · rule browser.gone · confidence 97%",
        "pid 4821, signal 9",
        "browser_restart level 3, component · 2.0 s",
        "Attempt 2 passed",
    ):
        assert expected in text
    trace = driver.find_element("css selector", "#rows .more .trace pre")
    assert "driver.get(url)" in trace.get_attribute("textContent")


def test_static_part_and_table_tell_the_same(opened: Open, summary: Summary) -> None:
    """The story of a test reads the same in its card and in its row."""
    driver = opened(summary)
    click(driver, "#rows tr:nth-child(2) .test")
    script = """const words = (node) => node.textContent.replace(/\\s+/g, ' ').trim();
        return [words(document.querySelector('#t1 .steps')),
                words(document.querySelector('#rows .more .steps'))];"""
    card, row = driver.execute_script(script)
    assert card.replace(" ", "") == row.replace(" ", "")


def test_a_blocked_test_says_why_it_was_not_run(opened: Open, summary: Summary) -> None:
    """Unfolded, its row tells the root error and what to do, and of no attempt."""
    driver = opened(summary)
    click(driver, '[data-verdict="blocked"]')
    click(driver, "#rows .test")
    text = driver.find_element("css selector", "#rows .more").text
    for expected in (
        "Reason. browser chromium is down, and was waited for in vain: the trial failed",
        "Root error. tests/test_shop.py::test_pay - browser: invalid session id",
        "Then run the blocked tests again.",
        "This test was never started.",
    ):
        assert expected in text
    assert "Attempt 1" not in text


def test_circuits_lead_to_the_tests_they_blocked(opened: Open, summary: Summary) -> None:
    """The count in a circuit's row is a link to the group, and that one links the root error."""
    driver = opened(summary)
    for selector, target in (("#circuits td a", "b0"), ("#b0 p a", "t3")):
        driver.execute_script("document.querySelector(arguments[0]).click()", selector)
        fragment(driver, target)
        assert driver.find_element("css selector", ":target").is_displayed()


def test_pictures_of_circuits_have_words(opened: Open, summary: Summary) -> None:
    """Who cannot see the picture is told the states and when they changed."""
    driver = opened(summary)
    (picture,) = driver.find_elements("css selector", "#circuits svg[role=img]")
    assert picture.accessible_name == (
        "browser chromium: closed at the start, open at 3.5 s, half-open at 5.5 s, open at 6.5 s"
    )
    heights = "return [...arguments[0].children].map((r) => Number(r.getAttribute('height')))"
    assert driver.execute_script(heights, picture) == [3, 10, 6, 10]


def test_the_keyboard_suffices(opened: Open, many: Summary) -> None:
    """Slash goes to the filter, arrows walk the tests, Enter unfolds one."""
    from selenium.webdriver.common.keys import Keys

    driver = opened(many)
    driver.find_element("tag name", "body").send_keys("/")
    assert driver.switch_to.active_element.get_attribute("id") == "filter"
    driver.execute_script("document.querySelector('#rows .test').focus()")
    driver.switch_to.active_element.send_keys(Keys.ARROW_DOWN)
    driver.switch_to.active_element.send_keys(Keys.ENTER)
    assert driver.switch_to.active_element.text.startswith("test_001")
    assert driver.switch_to.active_element.get_attribute("aria-expanded") == "true"


def test_without_javascript_the_story_is_there(opened: Open, summary: Summary) -> None:
    """With scripts off, the incidents are readable and the table says why it is not there."""
    driver = opened(summary)
    driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        driver.refresh()
        text = driver.find_element("tag name", "body").text
        assert "This table needs JavaScript" in text
        assert "test_cart" in text
        assert "Attempt 2 passed" in text
    finally:
        driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_ten_thousand_tests_open(opened: Open) -> None:
    """A page of 10,000 tests opens with one page of rows and finds the last test."""
    tests = [
        TestResult(f"area/test_{n % 97}.py::test_it[{n}]", "passed", attempts=[Attempt()])
        for n in range(10_000)
    ]
    driver = opened(Summary(SessionInfo(), tests))
    assert driver.execute_script("return document.getElementsByTagName('*').length") < 3000
    driver.find_element("id", "filter").send_keys("[9999]")
    assert names(driver) == ["test_it[9999]"]


@pytest.mark.parametrize("width", [360, 1280])
def test_the_page_never_scrolls_sideways(opened: Open, summary: Summary, width: int) -> None:
    """On a phone and on a desk the page is as wide as the window, even for long names."""
    summary.tests[1].nodeid += "[" + "long" * 60 + "]"
    driver = opened(summary)
    metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        click(driver, "#rows .test")
        root = "document.documentElement"
        assert driver.execute_script(f"return {root}.scrollWidth <= {root}.clientWidth")
    finally:
        driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


CONTRAST = """
const light = (c) => {
  const [r, g, b] = c.match(/[\\d.]+/g).map(Number).map((v) => v / 255)
    .map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const ground = (node) => {
  for (; node; node = node.parentElement) {
    const colour = getComputedStyle(node).backgroundColor;
    if (!/, 0\\)$|transparent/.test(colour)) return colour;
  }
  return 'rgb(255, 255, 255)';
};
const poor = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const node = walker.currentNode.parentElement;
  if (!walker.currentNode.data.trim() || node.closest('svg, script, :disabled')) continue;
  if (!node.checkVisibility() || node.closest('.skip')) continue;
  const [a, b] = [light(getComputedStyle(node).color), light(ground(node))];
  const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  if (ratio < 4.5) poor.push(`${walker.currentNode.data.trim()}: ${ratio.toFixed(2)}`);
}
return poor;
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_has_contrast(opened: Open, summary: Summary, scheme: str) -> None:
    """Every text stands out from its ground by 4.5 to 1 or more, by day and by night."""
    summary.tests.append(TestResult("x", "xpassed", attempts=[Attempt()]))
    driver = opened(summary)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    try:
        click(driver, "#rows tr:nth-child(2) .test")
        click(driver, '[data-verdict="recovered"]')
        click(driver, "#circuits .trace summary")
        assert driver.execute_script(CONTRAST) == []
    finally:
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
