"""What classifiers are told: words of infrastructure, and browsers that are well."""

from __future__ import annotations

from pytest_resilience.core.classifier import Diagnosis, classify
from pytest_resilience.core.evidence import Evidence
from pytest_resilience.core.failures import ExceptionFact

from .failures_of import evidence, failure

NOBODY_ASKED = Evidence()
HEALTHY = evidence(
    browser_process="alive", driver_process="alive", session="ok", page="ok", target="ok"
)
DISCONNECTED = (
    "Message: invalid session id: session deleted as the browser has closed the connection\n"
    "from disconnected: not connected to DevTools"
)
INFRASTRUCTURE_WORDS = [
    DISCONNECTED,
    "tab crashed",
    "chrome not reachable",
    "[Errno 111] Connection refused",
    "HTTPConnectionPool(host='localhost', port=4444): Max retries exceeded with url: /session",
    "New session request timed out",
    "Failed to decode response from marionette",
    "net::ERR_INTERNET_DISCONNECTED",
    "502 Bad Gateway",
    "session not created: This version of ChromeDriver only supports Chrome version 99",
]


def diagnose(
    *chain: ExceptionFact, evidence: Evidence = NOBODY_ASKED, command: str = ""
) -> Diagnosis:
    return classify(failure(*chain, command=command), evidence)
