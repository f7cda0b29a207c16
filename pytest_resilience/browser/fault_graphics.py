"""Faults of the graphics: contexts that are lost, a process that crashes, none at all.

Invariant: a browser that was started anew without graphics is started anew with them when
the fault is undone, unless it was ended meanwhile.
"""

from __future__ import annotations

import contextlib
import copy
from typing import Any

from pytest_resilience.browser.fault_applied import Applied, FaultError, until
from pytest_resilience.browser.fault_devtools import Pages, impose
from pytest_resilience.browser.sessions import DriverSession

#: Seconds the browser gets to start another graphics process.
_RESTART_LIMIT_S = 10.0
#: Seconds a page gets to do what it is told when all is undone.
_BACK_LIMIT_S = 2.0

_OPTIONS = ("goog:chromeOptions", "ms:edgeOptions")
_OFF = ("--disable-gpu", "--disable-3d-apis")
#: Arguments that would switch graphics on again.
_ON = ("enable-unsafe-swiftshader", "enable-gpu", "enable-webgl", "ignore-gpu", "use-gl", "use-an")

_KINDS = ("WebGLRenderingContext", "WebGL2RenderingContext")
_LOSE = """function () {
    const found = this.map(context => context.getExtension('WEBGL_lose_context'));
    found.forEach(extension => extension && extension.loseContext());
    return found;
}"""
_COUNT_LOST = "function () { return this.filter(context => context.isContextLost()).length }"
_RESTORE = """async function () {
    // Not before the page was told of the loss, and only if it said that it can go on.
    await new Promise(resolve => setTimeout(resolve, 50));
    this.forEach(extension => extension && extension.restoreContext());
    await new Promise(resolve => setTimeout(resolve, 50));
}"""


def lose_webgl_context(applied: Applied) -> None:
    """Lose every WebGL context of the page."""
    pages = impose(applied, [], [])
    page = pages.current()
    found = [made for kind in _KINDS if (made := _contexts(pages, page, kind))]
    total = sum(_apply(pages, page, these, "function () { return this.length }") for these in found)
    if not total:
        raise FaultError("the page draws nothing by WebGL, so it has no context to lose.")
    for these in found:
        _lose(applied, pages, page, these)

    def lost() -> int:
        return sum(_apply(pages, page, these, _COUNT_LOST) for these in found)

    applied.prove(contexts=total, lost=lost())


def crash_gpu_process(applied: Applied) -> None:
    """Crash the graphics process; the browser starts another one."""
    with contextlib.closing(Pages(applied.session)) as pages:
        before = _graphics_pids(pages)
        if not before:
            raise FaultError("the browser has no graphics process of its own.")
        pages.talk.call("Browser.crashGpuProcess")
        if not until(lambda: not before & _graphics_pids(pages), within_s=_RESTART_LIMIT_S):
            raise FaultError(f"{applied.name}: the graphics process did not crash.")
        until(lambda: _graphics_pids(pages), within_s=_RESTART_LIMIT_S)
        applied.prove(pids=sorted(before), replaced_by=sorted(_graphics_pids(pages)))


def relaunch_without_gpu(applied: Applied) -> None:
    """Start the browser anew, without graphics acceleration and WebGL."""
    session, registry = applied.session, applied.registry
    driver, original = session.driver, session.requested
    if driver is None or original is None:
        raise FaultError("it is not known how this session was requested, nor so how to again.")
    changed = without_graphics(original)

    def relaunch_as_before() -> None:
        current = registry.session_of(driver)
        # Also one that recovery has started meanwhile was requested like this.
        if current is not None and current.requested == changed:
            current.requested = original
            if not current.closed and registry.rebirth(current) is None:
                raise FaultError("the browser could not be started anew.")

    applied.when_undone(relaunch_as_before)
    session.requested = changed
    try:
        reborn = registry.rebirth(session)
    finally:
        session.requested = original
    if reborn is None:
        raise FaultError(f"{applied.name}: the browser could not be started anew.")
    # Nobody shall lay what fails now to the end of the one before.
    registry.forget(session)
    applied.prove(session=reborn.session_id, webgl=_draws(reborn))


def without_graphics(requested: dict[str, Any]) -> dict[str, Any]:
    """Return a request for the same browser without graphics acceleration and WebGL."""
    changed = copy.deepcopy(requested)
    if not _switch_off(changed):
        changed[_OPTIONS[0]] = {"args": list(_OFF)}
    return changed


def _switch_off(value: Any) -> bool:
    """Change all options of a Chromium in `value`; return whether there are any."""
    if isinstance(value, list):
        return max(map(_switch_off, value), default=False)
    if not isinstance(value, dict):
        return False
    found = [_switch_off(inner) for name, inner in value.items() if name not in _OPTIONS]
    for name in _OPTIONS:
        if isinstance(value.get(name), dict):
            given = (str(argument) for argument in value[name].get("args") or ())
            kept = [a for a in given if not a.lstrip("-").startswith(_ON)]
            value[name]["args"] = [*kept, *_OFF]
            found.append(True)
    return any(found)


def _draws(session: DriverSession) -> bool:
    with contextlib.closing(Pages(session)) as pages:
        asked = "!!document.createElement('canvas').getContext('webgl')"
        return bool(pages.evaluate(pages.current(), asked))


def _contexts(pages: Pages, page: str, kind: str) -> str:
    """Return the array of all contexts of a kind in a page, "" if there is no such kind."""
    expression = f"typeof {kind} === 'undefined' ? null : {kind}.prototype"
    prototype = pages.call(page, "Runtime.evaluate", {"expression": expression})["result"]
    if "objectId" not in prototype:
        return ""
    asked = {"prototypeObjectId": prototype["objectId"]}
    found: str = pages.call(page, "Runtime.queryObjects", asked)["objects"]["objectId"]
    return found


def _lose(applied: Applied, pages: Pages, page: str, contexts: str) -> None:
    told = {"objectId": contexts, "functionDeclaration": _LOSE}
    extensions = pages.call(page, "Runtime.callFunctionOn", told)["result"]["objectId"]
    applied.when_undone(lambda: _restore(pages, page, extensions))


def _restore(pages: Pages, page: str, extensions: str) -> None:
    # A page that was left meanwhile has nothing to restore.
    with contextlib.suppress(FaultError):
        _apply(pages, page, extensions, _RESTORE, _BACK_LIMIT_S)


def _apply(pages: Pages, page: str, of: str, function: str, limit_s: float = 5.0) -> Any:
    params = {
        "objectId": of,
        "functionDeclaration": function,
        "returnByValue": True,
        "awaitPromise": True,
    }
    answer = pages.call(page, "Runtime.callFunctionOn", params, limit_s)
    return answer["result"].get("value")


def _graphics_pids(pages: Pages) -> set[int]:
    told = pages.talk.call("SystemInfo.getProcessInfo")["processInfo"]
    return {process["id"] for process in told if process["type"].lower() == "gpu"}
