"""What a person should do about a failure that could not be recovered.

Invariant: every error type has advice, and it names something to look at or to change.
"""

from __future__ import annotations

from pytest_resilience.core.failures import ErrorType

_ADVICE = {
    ErrorType.PRODUCT: "Look at the product: the browser was healthy and the page answered.",
    ErrorType.TEST_CODE: "Correct the test: the browser refused what it asked for.",
    ErrorType.PAGE: "Look at the application's log: the page or the server behind it failed.",
    ErrorType.BROWSER: (
        "Look for a crash or the out-of-memory killer (dmesg), and give the browser more "
        "memory and shared memory (/dev/shm)."
    ),
    ErrorType.DRIVER: (
        "Check that driver and browser have the same major version, and what else ends "
        "processes on this machine."
    ),
    ErrorType.GPU: "Run with software rendering, or check the graphics driver of this machine.",
    ErrorType.CONNECTION: "Check the way to the driver or grid: proxy, firewall, ports, load.",
    ErrorType.NETWORK: "Check the browser's own network: DNS, proxy, certificates.",
    ErrorType.TIMEOUT: "The machine is too slow for this: run fewer browsers at once.",
    ErrorType.RESOURCE: (
        "Free memory, disk, file descriptors or processes, or run fewer browsers at once."
    ),
    ErrorType.HARDWARE: "Check the device this test needs, or run it where there is one.",
    ErrorType.WORKER: "Look at why the worker process or grid node ended, memory first.",
    ErrorType.TASK: "Look at who refused the work, and run the test again.",
    ErrorType.DATABASE: "Check the database this environment needs.",
    ErrorType.COORDINATOR: "Check the Selenium Grid hub: its status page, its queue, its nodes.",
    ErrorType.SYSTEM: "Run `pytest-resilience doctor`: this machine is set up wrongly.",
    ErrorType.CIRCUIT_OPEN: (
        "Bring back what the circuit stands for (see circuits), then run the blocked tests again."
    ),
    ErrorType.UNKNOWN: (
        "Read the traceback, and teach the diagnosis through pytest_resilience_classify."
    ),
}


def advice(error_type: str) -> str:
    """Return what to do about the error type with this label; "" for an unknown label."""
    try:
        return _ADVICE[ErrorType.from_label(error_type)]
    except ValueError:
        return ""
