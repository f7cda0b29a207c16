"""pytest-resilience: browser test suites that survive failing infrastructure.

Invariant: importing this package loads nothing but itself; public names are resolved
when first used.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from pytest_resilience.browser.injector import BrowserFailureInjector, InjectedFailure
    from pytest_resilience.circuits import (
        CircuitBreaker,
        browser_circuit_breaker,
        create_browser_circuit_breaker,
        create_endpoint_circuit_breaker,
        create_hardware_circuit_breaker,
        create_test_type_circuit_breaker,
        create_worker_circuit_breaker,
        endpoint_circuit_breaker,
        get_health_metrics,
        hardware_circuit_breaker,
        test_type_circuit_breaker,
        worker_circuit_breaker,
    )
    from pytest_resilience.core.aggregation import register_error_hook
    from pytest_resilience.core.circuit_config import CircuitConfig
    from pytest_resilience.core.circuit_record import CircuitState
    from pytest_resilience.core.classifier import Diagnosis, Rule
    from pytest_resilience.core.events import RecoveryPerformanceRecord
    from pytest_resilience.core.failures import (
        ErrorContext,
        ErrorReport,
        ErrorSeverity,
        ErrorType,
        Verdict,
    )
    from pytest_resilience.core.injection import FailureType, Intensity
    from pytest_resilience.core.levels import ProgressiveRecoveryLevel
    from pytest_resilience.core.strategies import RecoveryStrategy, add_custom_strategy
    from pytest_resilience.exceptions import CircuitOpenError, ResilienceError
    from pytest_resilience.plugin.handle import PastDiagnosis, Resilience
    from pytest_resilience.store.metrics import get_performance_metrics
    from pytest_resilience.store.progress import get_progressive_recovery
    from pytest_resilience.store.recommendations import get_strategy_recommendations

_HOMES = {
    "BrowserFailureInjector": "browser.injector",
    "CircuitBreaker": "circuits",
    "CircuitConfig": "core.circuit_config",
    "CircuitOpenError": "exceptions",
    "CircuitState": "core.circuit_record",
    "Diagnosis": "core.classifier",
    "ErrorContext": "core.failures",
    "ErrorReport": "core.failures",
    "ErrorSeverity": "core.failures",
    "ErrorType": "core.failures",
    "FailureType": "core.injection",
    "InjectedFailure": "browser.injector",
    "Intensity": "core.injection",
    "PastDiagnosis": "plugin.handle",
    "ProgressiveRecoveryLevel": "core.levels",
    "RecoveryPerformanceRecord": "core.events",
    "RecoveryStrategy": "core.strategies",
    "Resilience": "plugin.handle",
    "ResilienceError": "exceptions",
    "Rule": "core.classifier",
    "Verdict": "core.failures",
    "add_custom_strategy": "core.strategies",
    "browser_circuit_breaker": "circuits",
    "create_browser_circuit_breaker": "circuits",
    "create_endpoint_circuit_breaker": "circuits",
    "create_hardware_circuit_breaker": "circuits",
    "create_test_type_circuit_breaker": "circuits",
    "create_worker_circuit_breaker": "circuits",
    "endpoint_circuit_breaker": "circuits",
    "get_health_metrics": "circuits",
    "get_performance_metrics": "store.metrics",
    "get_progressive_recovery": "store.progress",
    "get_strategy_recommendations": "store.recommendations",
    "hardware_circuit_breaker": "circuits",
    "register_error_hook": "core.aggregation",
    "test_type_circuit_breaker": "circuits",
    "worker_circuit_breaker": "circuits",
}

__all__ = [
    "BrowserFailureInjector",
    "CircuitBreaker",
    "CircuitConfig",
    "CircuitOpenError",
    "CircuitState",
    "Diagnosis",
    "ErrorContext",
    "ErrorReport",
    "ErrorSeverity",
    "ErrorType",
    "FailureType",
    "InjectedFailure",
    "Intensity",
    "PastDiagnosis",
    "ProgressiveRecoveryLevel",
    "RecoveryPerformanceRecord",
    "RecoveryStrategy",
    "Resilience",
    "ResilienceError",
    "Rule",
    "Verdict",
    "add_custom_strategy",
    "browser_circuit_breaker",
    "create_browser_circuit_breaker",
    "create_endpoint_circuit_breaker",
    "create_hardware_circuit_breaker",
    "create_test_type_circuit_breaker",
    "create_worker_circuit_breaker",
    "endpoint_circuit_breaker",
    "get_health_metrics",
    "get_performance_metrics",
    "get_progressive_recovery",
    "get_strategy_recommendations",
    "hardware_circuit_breaker",
    "register_error_hook",
    "test_type_circuit_breaker",
    "worker_circuit_breaker",
]


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])


def __getattr__(name: str) -> Any:
    if name == "pytest_plugins":
        # ``-p pytest_resilience`` loads the plugin where its entry point is not used.
        alone = os.environ.get("PYTEST_DISABLE_PLUGIN_AUTOLOAD")
        return [f"{__name__}.plugin.main"] if alone else []
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{home}"), name)
