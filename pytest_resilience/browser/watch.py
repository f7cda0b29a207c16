"""Observes selenium: wraps a few of its methods, as soon as and only if it is imported.

Invariant: what a wrapped method returns or raises is what the original returned or raised,
and `end` puts back the very objects that were there before.
"""

from __future__ import annotations

import functools
import importlib.machinery
import os
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from pytest_resilience.browser import latch, own_acts
from pytest_resilience.core.provenance import stamp
from pytest_resilience.exceptions import CircuitOpenError

if TYPE_CHECKING:
    from pytest_resilience.browser.processes import ProcessId
    from pytest_resilience.browser.sessions import DriverSession, FailedStart, SessionRegistry

_DRIVER_MODULE = "selenium.webdriver.remote.webdriver"
_SERVICE_MODULE = "selenium.webdriver.common.service"
_NEW_SESSION = "newSession"

Method = Callable[..., Any]

#: The registries that watch at the moment, for those who cannot be handed any.
WATCHING: list[SessionRegistry] = []


class Watch:
    """The wrappers of one registry."""

    def __init__(self, registry: SessionRegistry) -> None:
        self._registry = registry
        self._patches: list[tuple[type, str, Method, Method]] = []
        self._finder: _Finder | None = None
        self._active = False
        self._stopping: set[int] = set()
        #: Called with session, name and what sends it, instead of sending a command.
        self.on_command: Callable[[DriverSession | None, str, Callable[[], Any]], Any] | None = None
        # Identities of driver processes, which cannot be told any more once they died.
        self._started: WeakKeyDictionary[Any, tuple[ProcessId, bool]] = WeakKeyDictionary()

    def begin(self) -> None:
        """Wrap what is imported already, and the rest when it is imported."""
        if self._active:
            return
        self._active = True
        WATCHING.append(self._registry)
        awaited: dict[str, Callable[[Any], None]] = {
            _DRIVER_MODULE: self._wrap_driver,
            _SERVICE_MODULE: self._wrap_service,
        }
        for name in [name for name in awaited if name in sys.modules]:
            awaited.pop(name)(sys.modules[name])
        if awaited:
            self._finder = _Finder(awaited)
            sys.meta_path.insert(0, self._finder)

    def end(self) -> None:
        """Undo every wrapping; one that somebody has wrapped over in turn becomes inert."""
        if self._registry in WATCHING:
            WATCHING.remove(self._registry)
        self._active = False
        if self._finder is not None:
            self._finder.leave()
            self._finder = None
        while self._patches:
            owner, name, original, wrapper = self._patches.pop()
            if owner.__dict__.get(name) is wrapper:
                setattr(owner, name, original)

    def _replace(self, owner: type, name: str, make: Callable[[Method], Method]) -> None:
        original = owner.__dict__.get(name)
        if original is None or any((o, n) == (owner, name) for o, n, _, _ in self._patches):
            return
        wrapper = functools.wraps(original)(make(original))
        self._patches.append((owner, name, original, wrapper))
        setattr(owner, name, wrapper)

    def _wrap_driver(self, module: Any) -> None:
        self._replace(module.WebDriver, "start_session", self._start_session)
        self._replace(module.WebDriver, "execute", self._execute)
        self._replace(module.WebDriver, "quit", self._quit)

    def _wrap_service(self, module: Any) -> None:
        self._replace(module.Service, "_start_process", self._start_process)
        self._replace(module.Service, "start", self._start_service)
        self._replace(module.Service, "stop", self._stop_service)

    def _wrap_quits(self, driver: object) -> None:
        for owner in type(driver).__mro__:
            self._replace(owner, "quit", self._quit)

    def _start_session(self, original: Method) -> Method:
        def start_session(driver: Any, capabilities: Any, *rest: Any, **named: Any) -> Any:
            __tracebackhide__ = True
            if not self._active:
                return original(driver, capabilities, *rest, **named)
            turnstile = self._registry.guard.turnstile
            if turnstile is None:
                return start(driver, capabilities, *rest, **named)
            # Before anything of it is looked after: it may have to wait here for long.
            turn, session = turnstile.enter(), None
            try:
                result = start(driver, capabilities, *rest, **named)
                session = self._registry.session_of(driver)
                return result
            finally:
                turnstile.entered(turn, session)

        def start(driver: Any, capabilities: Any, *rest: Any, **named: Any) -> Any:
            __tracebackhide__ = True
            guard = self._registry.guard
            awaited = guard.starting(driver, capabilities)
            try:
                guard.may_start(awaited)
                asked_for = guard.completed(awaited, capabilities)
                call = functools.partial(original, driver, asked_for, *rest, **named)
                carry = self.on_command
                result = call() if carry is None else carry(awaited, _NEW_SESSION, call)
            except CircuitOpenError:
                raise
            except Exception as error:
                stamp(error)
                reason = awaited.care.explained(awaited, error) if awaited is not None else error
                failed = self._failed_start(driver, reason, capabilities)
                failed.browser = awaited.browser if awaited is not None else ""
                self._registry.start_failed(failed)
                if reason is not error:
                    stamp(reason)
                    raise reason from error
                raise
            except BaseException as interrupt:
                # A Ctrl-C: nobody got the driver, so nobody else will end it.
                self._registry.start_failed(self._failed_start(driver, interrupt, capabilities))
                raise
            finally:
                guard.started(awaited)
            self._wrap_quits(driver)
            self._registry.opened(driver, capabilities)
            return result

        return start_session

    def _execute(self, original: Method) -> Method:
        from pytest_resilience.browser.guard import SLOW_S
        from pytest_resilience.browser.patience import stretched
        from pytest_resilience.browser.sessions import TELLING_ANSWERS

        registry, by_driver = self._registry, self._registry.by_driver
        monotonic = registry.monotonic

        # This runs for every command of every suite: no calls that can be done without.
        def execute(driver: Any, driver_command: Any, params: Any = None) -> Any:
            __tracebackhide__ = True
            session = by_driver.get(id(driver))
            if session is None and self._active:
                session = self._taken_over(driver, driver_command)
            if session is None or driver_command.__class__ is not str or not self._active:
                try:
                    return original(driver, driver_command, params)
                except Exception as error:
                    stamp(error)
                    raise
            telling = driver_command in TELLING_ANSWERS
            # Selenium takes the parameters apart while it sends them.
            kept = dict(params) if telling and params else {}
            if kept and session.care.patience != 1.0 and driver_command == "setTimeouts":
                params = stretched(kept, session.care.patience)
            if "url" in kept:
                session.asked_for = kept["url"]
            elif kept and own_acts.ends_browser(driver_command, kept):
                session.care.closes(session)
            session.begin(driver_command, registry.next_mark(), monotonic())
            try:
                carry = self.on_command
                if carry is None:
                    response = original(driver, driver_command, params)
                else:
                    call = functools.partial(original, driver, driver_command, params)
                    response = carry(session, driver_command, call)
            except Exception as error:
                if session.care.raised(session, error):
                    stamp(error)
                reason = session.care.explained(session, error)
                session.failed(reason)
                if reason is not error:
                    stamp(reason)
                    raise reason from error
                raise
            except BaseException as interrupt:
                # A time limit of the test, say: nobody knows what the driver did meanwhile.
                session.care.raised(session, interrupt)
                raise
            finally:
                session.in_flight = ""
                seconds = monotonic() - session.in_flight_since
                if seconds > SLOW_S:
                    session.care.took(driver_command, seconds, session.in_flight_since + seconds)
            if telling or session.first_failure is not None:
                session.answered(driver_command, kept, response)
            return response

        return execute

    def _taken_over(self, driver: Any, command: Any) -> DriverSession | None:
        """Take in a driver that got its session unseen: before we watched, or its own way."""
        if command == _NEW_SESSION or not getattr(driver, "session_id", None):
            return None
        self._wrap_quits(driver)
        return self._registry.opened(driver, None)

    def _quit(self, original: Method) -> Method:
        def quit(driver: Any, *rest: Any, **named: Any) -> Any:
            __tracebackhide__ = True
            session = self._registry.session_of(driver)
            if session is None or session.quitting or not self._active:
                return original(driver, *rest, **named)
            from pytest_resilience.browser import endings

            # The bound of the quit holds for the stop of the service inside it, too.
            pid = session.driver_pid or 0
            self._stopping.add(pid)
            try:
                return endings.bounded_quit(
                    session,
                    functools.partial(original, driver, *rest, **named),
                    limit_s=self._registry.quit_limit_s,
                )
            finally:
                self._stopping.discard(pid)
                self._registry.settle(session)

        return quit

    def _start_process(self, original: Method) -> Method:
        def _start_process(service: Any, *rest: Any, **named: Any) -> Any:
            __tracebackhide__ = True
            keywords = getattr(service, "popen_kw", None)
            chosen = {"start_new_session", "process_group", "preexec_fn"}
            if (
                not self._active
                or os.name != "posix"
                or not isinstance(keywords, dict)
                or not chosen.isdisjoint(keywords)
            ):
                return original(service, *rest, **named)
            # A group of its own is what lets orphans be found after the driver died.
            keywords["start_new_session"] = True
            try:
                return original(service, *rest, **named)
            finally:
                keywords.pop("start_new_session", None)
                self._note_start(service)

        return _start_process

    def _note_start(self, service: Any) -> None:
        from pytest_resilience.browser import processes

        child = getattr(service, "process", None)
        process = processes.identify(getattr(child, "pid", None))
        if process is not None:
            self._started[child] = (process, processes.leads_group(process))

    def _start_service(self, original: Method) -> Method:
        def start(service: Any, *rest: Any, **named: Any) -> Any:
            __tracebackhide__ = True
            try:
                return original(service, *rest, **named)
            except BaseException as error:
                stamp(error)
                if self._active:
                    self._registry.start_failed(self._failed_service(service, error))
                raise

        return start

    def _stop_service(self, original: Method) -> Method:
        def stop(service: Any, *rest: Any, **named: Any) -> Any:
            __tracebackhide__ = True
            child = getattr(service, "process", None)
            call = functools.partial(original, service, *rest, **named)
            if not self._active or child is None or child.pid in self._stopping:
                return call()
            from pytest_resilience.browser import endings

            self._stopping.add(child.pid)
            try:
                return endings.bounded_stop(child, call, limit_s=self._registry.quit_limit_s)
            except Exception as error:
                stamp(error)
                raise
            finally:
                self._stopping.discard(child.pid)

        return stop

    def _failed_start(self, driver: Any, error: BaseException, requested: Any) -> FailedStart:
        from pytest_resilience.browser import discovery
        from pytest_resilience.browser.wire import Wire

        failed = self._failed_service(getattr(driver, "service", None), error)
        address = discovery.endpoint_of(driver)
        failed.endpoint = discovery.without_credentials(address)
        failed.remote = failed.driver_process is None
        failed.requested = requested
        failed.wire = Wire.to(driver.command_executor, address, remote=failed.remote)
        return failed

    def _failed_service(self, service: Any, error: BaseException) -> FailedStart:
        from pytest_resilience.browser.sessions import FailedStart
        from pytest_resilience.browser.starts import Launch

        child = getattr(service, "process", None)
        process, leads_group = (
            self._started.get(child, (None, False)) if child is not None else (None, False)
        )
        return FailedStart(
            mark=self._registry.next_mark(),
            driver_process=process,
            child=child,
            leads_group=leads_group,
            error=latch.fact_of(error),
            launch=Launch.of(service),
        )


class _Finder:
    """Waits at the head of `sys.meta_path` for modules to be imported."""

    def __init__(self, awaited: dict[str, Callable[[Any], None]]) -> None:
        self._awaited = awaited

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Return the spec the other finders give, with a loader that reports to us."""
        if name not in self._awaited:
            return None
        spec = self._ask_others(name, path, target)
        if spec is not None and spec.loader is not None:
            arrived = self._awaited.pop(name)
            if not self._awaited:
                self.leave()
            spec.loader = _Loader(spec.loader, arrived)  # type: ignore[assignment]
        return spec

    def leave(self) -> None:
        """Stop waiting."""
        self._awaited.clear()
        if self in sys.meta_path:
            sys.meta_path.remove(self)

    def _ask_others(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None
    ) -> importlib.machinery.ModuleSpec | None:
        for finder in list(sys.meta_path):
            if finder is not self and hasattr(finder, "find_spec"):
                spec = finder.find_spec(name, path, target)
                if spec is not None:
                    return spec
        return None


class _Loader:
    """Loads a module like the loader it stands for, then tells that it has arrived."""

    def __init__(self, loader: Any, arrived: Callable[[Any], None]) -> None:
        self._loader = loader
        self._arrived = arrived

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        """Create the module as usual."""
        module: ModuleType | None = self._loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Execute the module as usual, leaving no trace of us on it."""
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        self._arrived(module)
