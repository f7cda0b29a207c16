"""An example of each built-in rule."""

from __future__ import annotations

from tests.core.examples import (
    BARE,
    PLAYWRIGHT,
    READ,
    REFUSED,
    REMOTE_TIMED_OUT,
    RENDERER,
    RETRY,
    SESSION,
    TIMED_OUT,
    example,
)
from tests.core.start_examples import GRIDS, STARTS

RECOVERIES = {
    "none", "immediate_retry", "command_retry", "delayed_retry", "fresh_window",
    "browser_restart", "driver_restart", "node_switch", "coordinator_recovery",
    "batch_reduction", "hardware_switch", "environment_reset", "escalate",
}  # fmt: skip

LATCHED = [
    example(f"session-failed-before-{label}", "InvalidSessionIdException", BARE, latch=label)
    for label in (
        "browser", "driver", "gpu", "resource", "hardware", "worker", "coordinator", "system",
    )
]  # fmt: skip

REFUSALS = [
    example("circuit-open", "pytest_resilience.exceptions.CircuitOpenError",
            "endpoint http://grid:4444 is open [circuit-open]"),
    example("browser-limit", "pytest_resilience.exceptions.BrowserLimitError",
            "no browser could be started within 120 s: --resilience-max-browsers is 1, and in use "
            "are 1: main of shop (pid 42) [browser-limit]"),
]  # fmt: skip

SESSIONS = [
    example("session-ended-by-test", "InvalidSessionIdException", BARE, latch="closed"),
    example(
        "command-after-quit", RETRY, REFUSED, driver_process="gone", browser_process="gone"
    ),
    example(
        "command-after-last-window", "InvalidSessionIdException", BARE,
        driver_process="alive", browser_process="gone", renderer_process="gone",
    ),
    example("driver-stopped", READ, TIMED_OUT, driver_process="stopped"),
    example(
        "session-died-with-window", "NoSuchWindowException", "Browsing context has been discarded",
        browser_process="alive", session="dead",
    ),
    example("driver-died", RETRY, REFUSED, driver_process="zombie"),
    example(
        "driver-gone-browser-left", RETRY, REFUSED, driver_process="gone", browser_process="alive"
    ),
    example("driver-gone-unbidden", RETRY, REFUSED, driver_process="gone"),
    example("browser-stopped", READ, TIMED_OUT, browser_process="stopped"),
    example(
        "browser-died-at-start", "InvalidSessionIdException",
        "invalid session id: session deleted as the browser has closed the connection",
        command="newSession", browser_process="gone",
    ),
    example("browser-died-host-short", "AssertionError", browser_process="zombie", host="short"),
    example("browser-died", "AssertionError", "no title", browser_process="gone"),
    example("tab-crashed-at-start", "WebDriverException", "x", command="newSession",
            session="crashed"),
    example("tab-crashed-host-short", "WebDriverException", "tab crashed", session="crashed",
            host="short"),
    example("tab-crashed", "NoSuchElementException", "no such element", session="crashed"),
    example("tab-crashed-page-probe", "NoSuchElementException", "x", page="crashed"),
    example("tab-stopped", READ, TIMED_OUT, renderer_process="stopped", session="silent"),
    example("script-never-ends", READ, TIMED_OUT, command="w3cExecuteScript", session="silent",
            renderer_process="busy"),
    example("page-never-idle", "TimeoutException", RENDERER, session="silent",
            renderer_process="busy"),
    example("page-never-idle", "TimeoutException", RENDERER, remote=True, grid="ok",
            latch="timeout", session="silent", renderer_process="busy"),
    example("gpu-stopped", READ, TIMED_OUT, gpu_process="stopped"),
    example("gpu-died", "AssertionError", "blank", gpu_process="gone", browser_process="alive"),
    example("gpu-replaced", "JavascriptException", "javascript error: WebGL context lost",
            gpu_process="alive", details={"gpu_process": "pid 7, started after the session"}),
    example("gpu-replaced", "JavascriptException", "javascript error: WebGL context lost",
            remote=True, grid="ok", session="ok", page="ok", gpu_process="alive",
            details={"gpu_process": "pid 7, started after the session"}),
]  # fmt: skip

HOSTS = [
    example("worker-lost", "", "worker 'gw3' crashed while running 'test_it.py::test_it'"),
    example("disk-full", "OSError", "[Errno 28] No space left on device"),
    example("disk-full", "OSError", "[('a', 'b', \"[Errno 28] No space left on device: 'b'\")]"),
    example("descriptors-or-memory-used-up", "OSError", "[Errno 24] Too many open files"),
    example("no-more-processes", "OSError", "[Errno 11] Resource temporarily unavailable",
            origin="/usr/lib/python3/subprocess.py:_execute_child"),
    example("no-more-processes-for-driver", "OSError",
            "[Errno 11] Resource temporarily unavailable", command="newSession"),
    example("no-more-threads", "RuntimeError", "can't start new thread"),
    example("memory-short", "MemoryError", host="short", details={"host": "memory: 9 MiB"}),
    example("device-out-of-memory", "RuntimeError", "CUDA out of memory. Tried to allocate"),
    example("device-failed", "RuntimeError", "CUDA error: device-side assert triggered"),
    example("database-unavailable", "psycopg2.OperationalError",
            "could not connect to server: Connection refused"),
    example("name-service-failed", "OSError", "[Errno -3] Temporary failure in name resolution"),
    example("slow-host", "TimeoutException", RENDERER, host="short",
            details={"host": "processor: load 99 on 2"}),
]  # fmt: skip

BROWSERS = [
    example("gpu-process-failed", "WebDriverException", "GPU process isn't usable. Goodbye."),
    example("graphics-context-lost", "WebDriverException", "WebGL context was lost"),
    example("browser-out-of-memory", "", "FATAL:memory.cc Out of memory. size=1"),
    example("browser-out-of-memory", "WebDriverException",
            "unknown error: Couldn't allocate shared memory"),
    example("page-crash-shared-memory", "WebDriverException",
            "unknown error: session deleted because of page crash"),
    example("tab-crash-message", "WebDriverException", "tab crashed"),
    example("browser-disconnected", "InvalidSessionIdException",
            "invalid session id: session deleted as the browser has closed the connection"),
    *(
        example("browser-not-reachable", "WebDriverException", said)
        for said in (
            "msedge not reachable",
            "Error communicating with the remote browser. It may have died.",
            "unknown error: failed to change window state to 'normal'",
            "The browser was closed unexpectedly",
        )
    ),
    example("marionette-broke-off", "WebDriverException",
            "Failed to decode response from marionette"),
    example("browser-closed-under-client", "playwright.TargetClosedError",
            "Page.click: Target page, context or browser has been closed"),
    example("device-not-answering", "WebDriverException",
            "Could not proxy command to the remote server"),
    example("device-server-lost", "WebDriverException", "socket hang up"),
    example("no-picture-of-screen", "ScreenshotException", "unable to capture screen"),
    example("no-picture-of-page", "WebDriverException",
            'unhandled inspector error: {"code":-32000,"message":"Unable to capture screenshot"}'),
    example("client-lost-its-driver", "", "Connection closed while reading from the driver"),
    example("client-lost-its-driver", "WebDriverException",
            "The driver server has unexpectedly died!"),
    *(
        example("driver-misreads-browser", "WebDriverException", f"unknown error: {said}")
        for said in (
            "call function result missing 'value'",
            "result.value list is missing or empty in Runtime.callFunctionOn response",
            """unhandled inspector error: {"code":-32601,"message":"'Page.x' wasn't found"}""",
        )
    ),
    example("browser-fails-inside", "WebDriverException",
            'unknown error: unhandled inspector error: {"code":-32603,"message":"Internal error"}'),
]  # fmt: skip

NETWORKS = [
    example("browser-offline", "WebDriverException",
            "unknown error: net::ERR_INTERNET_DISCONNECTED", own_network="cut"),
    example("server-up-browser-cannot", "WebDriverException",
            "unknown error: net::ERR_CONNECTION_RESET", own_network="cut", target="ok"),
    example("page-load-server-vanished", "TimeoutException", RENDERER, session="ok",
            target="vanished", own_network="slowed"),
    example("broken-on-the-way", PLAYWRIGHT,
            "Page.goto: net::ERR_CONNECTION_RESET at http://shop/?e=malformedURI"),
    example("browser-offline", "WebDriverException",
            "unknown error: net::ERR_PROXY_CONNECTION_FAILED"),
    example("server-vanished", "WebDriverException", "unknown error: net::ERR_CONNECTION_REFUSED",
            target="vanished"),
    example("name-lost", "WebDriverException", "unknown error: net::ERR_NAME_NOT_RESOLVED",
            target="dns", details={"target": "shop: unknown; reached earlier in this run"}),
    example("server-down", "WebDriverException", "unknown error: net::ERR_CONNECTION_RESET",
            target="refused"),
    example("server-up-browser-cannot", "WebDriverException",
            "unknown error: net::ERR_CONNECTION_REFUSED", target="ok"),
    example("broken-on-the-way", "WebDriverException", "unknown error: net::ERR_CONNECTION_RESET"),
    example("server-not-there", PLAYWRIGHT, "Page.goto: net::ERR_CONNECTION_REFUSED at http://x"),
    example("address-refused-by-browser", PLAYWRIGHT, "Page.goto: net::ERR_UNSAFE_PORT at http://x"),
    example("browser-short-of-resources", "WebDriverException",
            "unknown error: net::ERR_INSUFFICIENT_RESOURCES"),
    example("page-refused-by-browser", "WebDriverException",
            "unknown error: net::ERR_TOO_MANY_REDIRECTS"),
    example("error-page-network-cut-by-test", "AssertionError", "x", page="error_page",
            own_network="cut", details={"page": "ERR_INTERNET_DISCONNECTED"}),
    example("error-page-address-refused", "NoSuchElementException", "x", page="error_page",
            target="vanished", details={"page": "ERR_UNSAFE_PORT"}),
    example("error-page-offline", "NoSuchElementException", "x", page="error_page",
            details={"page": "ERR_INTERNET_DISCONNECTED"}),
    example("error-page-server-vanished", "AssertionError", "x", page="error_page",
            target="vanished"),
    example("error-page-name-lost", "NoSuchElementException", "x", page="error_page",
            target="dns", details={"target": "shop: unknown; reached earlier in this run"}),
    example("error-page-server-up", "NoSuchElementException", "x", page="error_page", target="ok",
            details={"page": "ERR_NAME_NOT_RESOLVED"}),
    example("error-page-shown", "NoSuchElementException", "x", page="error_page"),
    example("gateway-page-shown", "NoSuchElementException", "x", page="gateway"),
    example("server-error-page-shown", "AssertionError", "x", page="server_error"),
    example("page-load-slowed-by-test", "TimeoutException", RENDERER, session="ok",
            own_network="slowed"),
    example("page-load-browser-hangs", "TimeoutException", RENDERER, session="silent"),
    example("page-load-server-vanished", "TimeoutException", RENDERER, session="ok",
            target="vanished"),
    example("page-load-server-down", "TimeoutException", RENDERER, session="ok", target="silent"),
    example("page-load-slow", "TimeoutException", RENDERER, session="ok", page="ok", target="ok"),
    example("page-load-timed-out", "TimeoutException", RENDERER, session="ok"),
    example("navigation-pending", "", "Unknown error: a pending navigation blocks the command"),
    example("renderer-timed-out", "TimeoutException", RENDERER),
    example("page-load-unexplained", "playwright.TimeoutError",
            "Page.goto: Timeout 30000ms exceeded."),
]  # fmt: skip

WIRES = [
    example("client-short-of-ports-or-files", RETRY,
            REFUSED.replace("[Errno 111] Connection refused", "[Errno 99] Cannot assign")),
    example("selenium-server-hangs", READ, "Read timed out: the Selenium server hangs"),
    example("command-timed-out-on-short-host", READ, TIMED_OUT, host="short",
            details={"host": "memory: 9 MiB"}),
    example("reply-lost-session-healthy", READ, TIMED_OUT, session="ok"),
    example("loopback-silent", READ, TIMED_OUT, driver_status="silent", devtools="silent"),
    example("script-outlived-client", READ, TIMED_OUT, command="executeAsyncScript",
            session="silent"),
    example("page-server-silent", READ, TIMED_OUT, command="get", session="silent",
            target="silent"),
    example("page-load-outlived-client", READ, TIMED_OUT, command="get", session="silent"),
    example("page-never-idle-driver-silent", READ, TIMED_OUT, driver_process="alive",
            driver_status="silent", renderer_process="busy"),
    example("driver-silent", READ, TIMED_OUT, driver_status="silent"),
    example("session-silent-after-timeout", READ, TIMED_OUT, session="silent"),
    example("local-command-timed-out", READ, TIMED_OUT),
    example("command-timed-out", READ, REMOTE_TIMED_OUT, remote=True),
    example("driver-refuses", RETRY, REFUSED, driver_status="refused"),
    example("refused-once-driver-healthy", RETRY, REFUSED, driver_status="ok"),
    example("grid-refuses", RETRY, REFUSED, remote=True),
    example("grid-port-refuses", RETRY, REFUSED.replace("4101", "4444")),
    example("refused-without-evidence", RETRY, REFUSED),
    example("driver-hung-up", "urllib3.ProtocolError",
            "('Connection aborted.', RemoteDisconnected('Remote end closed connection without'))"),
    example("name-not-resolved", RETRY,
            f"HTTPConnectionPool(host='grid', port=4444): Max retries exceeded with url: {SESSION} "
            "(Caused by NameResolutionError('Failed to resolve: Name or service not known'))"),
    example("connection-broke", "urllib3.ProtocolError",
            "('Connection aborted.', BadStatusLine('rubbish'))"),
    *(
        example("request-to-webdriver-lost", "WebDriverError", said)
        for said in (
            "The HTTP request to the remote WebDriver server for URL http://g timed out",
            "A exception with a null response was thrown sending an HTTP request to the remote "
            "WebDriver server for URL http://g",
            "Request failed with error code ECONNREFUSED",
            "Timeout awaiting 'request' for 120000ms",
        )
    ),
    example("gateway-answered", "WebDriverException", "<html><h1>502 Bad Gateway</h1></html>"),
    example("credentials-refused-midway", "WebDriverException", "Authorization Required",
            command="title"),
    example("socket-error-with-dead-driver", "ConnectionRefusedError",
            "[Errno 111] Connection refused", driver_status="refused"),
    example("socket-error-names-webdriver", "ConnectionRefusedError",
            "[Errno 111] Connection refused in selenium/webdriver/remote"),
]  # fmt: skip

OTHERS = [
    example("page-script-threw", PLAYWRIGHT, "Page.evaluate: TypeError: tab crashed"),
    example("browser-silent", "AssertionError", "x", session="silent", devtools="silent"),
    example("session-silent", "WebDriverException", "unknown error: something", session="silent"),
    example("assertion", "AssertionError", "tab crashed"),
    example("assertion", "Failed", "chrome not reachable"),
    example("skipped", "unittest.case.SkipTest", "not today"),
    example("stale-element", "StaleElementReferenceException", "stale element not found"),
    example("node-replaced", "WebDriverException", "No node with given id found"),
    *(
        example("page-replaced-meanwhile", "WebDriverException", said)
        for said in (
            "target navigated or closed",
            "no such execution context",
            "AbortError: Actor 'MarionetteCommands' destroyed before query 'x' was resolved",
        )
    ),
    example("document-unloaded", "JavascriptException", "Document was unloaded"),
    example("element-covered", "ElementClickInterceptedException", "obscures it"),
    example("element-not-interactable", "ElementNotInteractableException", "not interactable"),
    example("unexpected-alert", "UnexpectedAlertPresentException", "unexpected alert open"),
    example("certificate-refused", "InsecureCertificateException", "insecure"),
    example("script-navigated-away", "TimeoutException", "script timeout", command="execute_async"),
    example("script-timed-out", "TimeoutException", "script timeout",
            command="execute_async_script"),
    example("window-or-frame-vanished", "NoSuchWindowException",
            "Browsing context has been discarded"),
    example("no-such-window", "NoSuchWindowException", "no such window"),
    example("session-unknown", "InvalidSessionIdException", BARE, session="dead"),
    example("session-ended-earlier", "WebDriverException",
            "Tried to run command without establishing a connection"),
    example("element-missing", "NoSuchElementException", "no such element"),
    example("element-missing-instead-of-stale", "NoSuchElementException",
            "no such element, instead of stale element"),
    example("alert-missing", "NoAlertPresentException", "no such alert"),
    example("script-threw", "JavascriptException", "javascript error: disconnected: from page"),
    example("locator-ambiguous", PLAYWRIGHT, "Locator.click: strict mode violation: 2 elements"),
    example("element-never-came", "playwright.TimeoutError", "Page.click: Timeout 9ms exceeded."),
    example("wait-timed-out", "TimeoutException", "the order never came"),
    example("command-misused", "InvalidSelectorException", "invalid selector"),
    example("wrong-endpoint", "WebDriverException", "Unable to find handler for (POST) /nope"),
    example("python-mistake", "KeyError", "'tab crashed'"),
    example("application-not-answering-test", "requests.exceptions.ConnectionError",
            "HTTPConnectionPool(host='app', port=80): Max retries exceeded with url: /api"),
    example("error-of-unknown-origin", "ConnectionRefusedError", "[Errno 111] Connection refused"),
    example("webdriver-error-unexplained", "WebDriverException", "unknown error: hm"),
]  # fmt: skip

HUNG = "pytest_resilience.browser.hangs.CommandHung"
HANGS = [
    example(f"hung-{name}", HUNG, f"get: ended after 9.1 s: {culprit} [hung-command]")
    for name, culprit in {
        "browser": "the browser process (pid 7) is stopped",
        "tab": "a tab of the browser (pid 7) is stopped",
        "graphics": "the graphics process (pid 7) is stopped",
        "driver": "the driver does not answer",
        "node": "the node that holds the session does not answer",
        "grid": "the grid at http://grid:4444 does not answer",
    }.items()
] + [
    example("hung-driver-on-node", HUNG,
            "getTitle: ended after 13.0 s: the driver does not answer [hung-command]",
            remote=True),
]  # fmt: skip

EXAMPLES = [
    *REFUSALS, *LATCHED, *SESSIONS, *STARTS, *HOSTS, *GRIDS, *BROWSERS, *NETWORKS, *WIRES,
    *OTHERS, *HANGS,
]  # fmt: skip
