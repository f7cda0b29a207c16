"""Fifty ways in which the product, its page or the test itself fails in a healthy browser.

Many talk of crashes and connections, as texts of pages and tests do.
"""

import os
import socket
import sys
import unittest
import urllib.request

import faulty_app
import lab
import pytest
from selenium.common.exceptions import NoSuchElementException, WebDriverException
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.support import expected_conditions as expected
from selenium.webdriver.support.ui import Select, WebDriverWait

if sys.version_info < (3, 11):
    from exceptiongroup import ExceptionGroup

#: Pages each test visits before the one on which it fails.
JOURNEY = int(os.environ.get("JOURNEY", "0"))


@pytest.fixture(scope="session")
def app():
    server = faulty_app.Server().start()
    yield server.url
    server.stop()


# A browser of its own for each test takes minutes.
@pytest.fixture(scope=os.environ.get("BROWSER_SCOPE", "session"))
def browser():
    driver = lab.launch()
    yield driver
    driver.quit()


@pytest.fixture
def driver(browser, app):
    """The shared browser on the home page, put back in order afterwards."""
    for _ in range(JOURNEY):
        browser.get(app)
        browser.find_element("id", "buy").click()
        assert browser.find_element("id", "buy").text == "Bought"
    browser.get(app)
    (first,) = browser.window_handles
    yield browser
    browser.set_page_load_timeout(60)
    browser.set_script_timeout(60)
    for handle in set(browser.window_handles) - {first}:
        browser.switch_to.window(handle)
        browser.close()
    browser.switch_to.window(first)


@pytest.fixture
def stock():
    return len(None)


@pytest.fixture
def receipt(driver):
    yield driver
    int("twelve")


# Assertions


def test_text(driver):
    assert driver.find_element("id", "buy").text == "Sold out"


def test_title(driver):
    assert driver.title == "Bank"


def test_address(driver):
    assert driver.current_url.endswith("/basket")


def test_number(driver):
    assert len(driver.find_elements("tag name", "button")) == 2


def test_message_talks_of_crash(driver):
    assert "sale" in driver.page_source, "tab crashed: session deleted, chrome not reachable"


def test_page_talks_of_crash(driver):
    assert "Welcome" in driver.find_element("id", "note").text


def test_page_talks_of_connection(driver):
    assert not driver.find_element("id", "log").text


def test_identity(driver):
    assert driver.find_element("id", "note") is None


def test_number_with_tolerance(driver):
    height = driver.execute_script("return document.body.scrollHeight")
    assert height == pytest.approx(1.5, abs=0.1)


def test_failed_by_name(driver):
    pytest.fail("invalid session id: the basket says disconnected: Connection refused")


def test_nothing_raised(driver):
    with pytest.raises(NoSuchElementException):
        driver.find_element("id", "buy")


def test_something_else_raised(driver):
    with pytest.raises(KeyError):
        driver.find_element("id", "basket")


def test_wrong_text_raised(driver):
    with pytest.raises(NoSuchElementException, match="timed out from renderer"):
        driver.find_element("id", "basket")


def test_assertion_from_driver_error(driver):
    try:
        driver.find_element("id", "basket")
    except NoSuchElementException as error:
        raise AssertionError("no basket: net::ERR_CONNECTION_RESET") from error


def test_assertion_while_handling_driver_error(driver):
    try:
        driver.execute_script("throw new Error('disconnected: not connected to DevTools')")
    except WebDriverException:
        assert driver.title == "Bank"


# Elements and waits


def test_missing_element(driver):
    driver.find_element("id", "basket")


def test_missing_link(driver):
    driver.find_element("link text", "Connection refused").click()


def test_wait_without_message(driver):
    WebDriverWait(driver, 0.3).until(expected.visibility_of_element_located(("id", "basket")))


def test_wait_with_message(driver):
    WebDriverWait(driver, 0.3).until(
        expected.title_is("Bank"), "tab crashed: timed out receiving message from renderer"
    )


def test_stale(driver):
    button = driver.find_element("id", "buy")
    driver.refresh()
    button.click()


def test_not_interactable(driver):
    driver.find_element("id", "hidden").send_keys("x")


def test_click_intercepted(driver):
    driver.find_element("id", "covered").click()


def test_wrong_kind_of_element(driver):
    Select(driver.find_element("id", "buy"))


def test_missing_frame(driver):
    driver.switch_to.frame("payment")


def test_missing_cookie(driver):
    assert driver.get_cookie("login")["value"] == "me"


def test_missing_alert(driver):
    driver.switch_to.alert.accept()


def test_unexpected_alert(driver):
    driver.execute_script("alert('Server Error: connection reset')")
    driver.find_element("id", "buy").click()


# Scripts


def test_script_throws(driver):
    driver.execute_script("throw new Error('tab crashed')")


def test_script_has_a_typo(driver):
    driver.execute_script("return document.titel.length")


def test_async_script_never_calls_back(driver):
    driver.set_script_timeout(0.3)
    driver.execute_async_script("document.title = 'waiting'")


# Pages and their server


def test_server_error(driver, app):
    driver.get(f"{app}/status/500")
    driver.find_element("id", "buy")


def test_server_error_without_text(driver, app):
    driver.get(f"{app}/bare/500")
    assert driver.title == "Shop"


def test_gateway_error(driver, app):
    driver.get(f"{app}/status/503")
    driver.find_element("id", "buy")


def test_page_not_found(driver, app):
    driver.find_element("id", "missing").click()
    assert driver.find_element("tag name", "h1").text == "Basket"


def test_page_not_found_without_text(driver, app):
    driver.get(f"{app}/bare/404")
    driver.find_element("id", "buy")


def test_answer_broken_off(driver, app):
    driver.find_element("id", "broken").click()
    driver.find_element("id", "buy")


def test_connection_reset_by_page(driver, app):
    driver.get(f"{app}/reset")


def test_redirected_for_ever(driver, app):
    driver.get(f"{app}/loop")
    driver.find_element("id", "buy")


def test_never_was_a_server(driver):
    driver.get(f"http://127.0.0.1:{faulty_app.unused_port()}/")


def test_never_was_a_name(driver):
    driver.get("http://no-such-shop.invalid/")


def test_server_is_slow(driver, app):
    driver.set_page_load_timeout(0.7)
    driver.get(f"{app}/slow")


def test_page_never_ends(driver, app):
    driver.set_page_load_timeout(0.7)
    driver.get(f"{app}/waiting")


# The test's own mistakes


def test_bad_selector(driver):
    driver.find_element("css selector", "p[")


def test_bad_address(driver):
    driver.get("shop")


def test_bad_cookie(driver):
    driver.add_cookie({"name": "a", "value": "b", "domain": "bank.example"})


def test_out_of_bounds(driver):
    ActionChains(driver).move_by_offset(99_999, 99_999).perform()


def test_own_window_closed(driver):
    driver.switch_to.new_window("tab")
    driver.close()
    driver.find_element("id", "buy")


def test_last_window_closed(app):
    own = lab.launch()
    own.get(app)
    own.close()
    own.find_element("id", "buy")


def test_used_after_quit(app):
    own = lab.launch()
    own.quit()
    own.get(app)


def test_key_error(driver):
    assert {"title": driver.title}["name"]


def test_attribute_error(driver):
    driver.no_such_method()


def test_fixture_fails(driver, stock):
    assert stock


def test_teardown_fails(receipt):
    assert receipt.title == "Shop"


def test_own_request_refused(driver):
    urllib.request.urlopen(f"http://127.0.0.1:{faulty_app.unused_port()}/", timeout=5)


def test_own_socket_refused(driver):
    socket.create_connection(("127.0.0.1", faulty_app.unused_port()), 5)


def test_own_request_answered_with_error(driver, app):
    urllib.request.urlopen(f"{app}/status/503", timeout=60)


def test_own_timeout(driver):
    raise TimeoutError("the basket was not updated within 5 s")


def test_own_connection_error(driver):
    raise ConnectionError("the payment service closed the connection")


def test_missing_file(driver):
    open("no-such-basket.json").close()


def test_group(driver):
    raise ExceptionGroup("two", [AssertionError("one"), ValueError("tab crashed")])


@pytest.mark.xfail(strict=True, reason="known bug")
def test_known_bug_is_gone(driver):
    assert driver.title == "Shop"


@pytest.mark.parametrize("word", ["Sale", "Basket"])
def test_word(driver, word):
    assert word in driver.page_source


class TestCase(unittest.TestCase):
    @pytest.fixture(autouse=True)
    def _driver(self, driver):
        self.driver = driver

    def test_equal(self):
        self.assertEqual(self.driver.title, "Bank")  # noqa: PT009

    def test_parts(self):
        for word in ("Sale", "Basket"):
            with self.subTest(word=word):
                self.assertIn(word, self.driver.page_source)  # noqa: PT009


def test_all_is_well(driver):
    driver.find_element("id", "buy").click()
    assert driver.find_element("id", "buy").text == "Bought"
