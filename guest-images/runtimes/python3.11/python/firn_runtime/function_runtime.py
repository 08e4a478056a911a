"""The life of one function in this process: load, snapshot, resume, invoke."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Coroutine
from contextvars import copy_context
from typing import Any

from . import invocations, log_pipe
from .bridge import AgentGone, Bridge
from .environment import apply_late_environment, name_log_stream
from .errors import FunctionError, InvocationError, describe, error_answer, message_of, trace_of
from .gate import pass_gate
from .handlers import AsgiHandler, Handler, make_handler
from .hooks import Hooks
from .lazy_modules import LazyModules
from .load import LAYERS, load_handler
from .memory import settle_memory
from .open_resources import OpenResources
from .uniqueness import Uniqueness
from .warm_up import warm_up_runtime
from .wire.codec import ProtocolError
from .wire.messages import (
    CancelInvoke,
    FunctionFailed,
    FunctionReady,
    Invoke,
    LoadFunction,
    PrepareSnapshot,
    RuntimeQuiesced,
    RuntimeReady,
    RuntimeResumed,
    SetEnvironment,
    Warning,
)

_DEFAULT_READY_MS = 60_000
_READY_POLL_SECONDS = 0.02


class FunctionRuntime:
    def __init__(self, bridge: int, gate: int, root: str, runtime_folder: str) -> None:
        self.hooks = Hooks()
        self._bridge = Bridge(bridge)
        self._gate = gate
        self._root = root
        self._runtime_folder = runtime_folder
        self._uniqueness = Uniqueness()
        self._open_resources = OpenResources()
        self._lazy_modules = LazyModules()
        self._invocations = invocations.Invocations(self._event_loop)
        self._tasks: set[asyncio.Task[None]] = set()
        self._loaded: tuple[Handler, LoadFunction] | None = None
        self._broken: InvocationError | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def serve(self) -> None:
        """Tells the agent that a function may be loaded, and does what it says until it is gone."""
        self._bridge.send(runtime_ready=RuntimeReady())
        try:
            while True:
                self._handle(self._next())
        except AgentGone:
            return

    def _next(self) -> Any:
        """The next command. A function that is asynchronous goes on meanwhile."""
        if self._loop is None:
            return self._bridge.next()
        return self._loop.run_until_complete(self._bridge.next_async())

    def _handle(self, command: Any) -> None:
        match command:
            case Invoke():
                self._invoke(command)
            case CancelInvoke():
                self._invocations.cancel(command.id)
            case LoadFunction():
                self._load(command)
            case PrepareSnapshot():
                self._snapshot()
            case SetEnvironment():
                apply_late_environment(command.environment)

    def _load(self, load: LoadFunction) -> None:
        try:
            self._become_ready(load)
        except FunctionError as error:
            self._report(error)
        except (Exception, SystemExit) as error:
            message = f"The function failed before it was ready: {describe(error)}"
            self._report(FunctionError("FIRN_FUNCTION_IMPORT", message), error)
        else:
            self._bridge.send(function_ready=FunctionReady())
        log_pipe.flush()

    def _become_ready(self, load: LoadFunction) -> None:
        deadline = time.monotonic() + (load.ready_timeout_ms or _DEFAULT_READY_MS) / 1000
        self._uniqueness.watch()
        self._open_resources.start()
        self._lazy_modules.watch()
        loaded = load_handler(load, self._root, self._runtime_folder)
        handler = make_handler(loaded)
        if handler.is_async:
            self._event_loop()
        if isinstance(handler, AsgiHandler):
            self._wait(handler.application.start_up())
        self._await_ready(deadline, load)
        self.hooks.run_warm_up(self._wait)
        self._loaded = (handler, load)

    def _await_ready(self, deadline: float, load: LoadFunction) -> None:
        """A thread says that the function is ready, or a task."""
        if not self.hooks.is_deferred:
            return
        while not self.hooks.is_ready.is_set():
            if time.monotonic() > deadline:
                message = f"The function did not get ready within {load.ready_timeout_ms} milliseconds: call ready(), or raise the limit."
                raise FunctionError("FIRN_FUNCTION_NOT_READY", message)
            if self._loop is None:
                self.hooks.is_ready.wait(_READY_POLL_SECONDS)
            else:
                self._loop.run_until_complete(asyncio.sleep(_READY_POLL_SECONDS))

    def _snapshot(self) -> None:
        try:
            if self._loaded is None:
                warm_up_runtime()
            self.hooks.run_before_snapshot(self._wait)
            log_pipe.flush()
            self._lazy_modules.compile([self._root, *LAYERS])
            self._uniqueness.prepare()
            warnings = self._end_watch()
            settle_memory()
        except Exception as error:
            self._report_hook(error)
            return
        self._bridge.send(quiesced=RuntimeQuiesced(warnings))
        self._pass_gate()
        try:
            self.hooks.run_after_restore(self._wait)
            self._broken = None
        except Exception as error:
            cause = error.__cause__ or error
            self._broken = InvocationError("Runtime.AfterRestoreError", message_of(error), trace_of(cause))
            self._report_hook(error)
        log_pipe.flush()
        self._bridge.send(resumed=RuntimeResumed())

    def _end_watch(self) -> list[Warning]:
        """What clones would share. The watch ends before the snapshot: each clone would have to write to what it has changed."""
        if self._loaded is None:
            return []
        warnings = [*self._uniqueness.warnings(), *self._open_resources.warnings()]
        self._uniqueness.end_watch()
        self._open_resources.stop()
        return warnings

    def _pass_gate(self) -> None:
        """The snapshot happens in here. Nothing else runs in a clone before it is somebody else."""
        try:
            resume = pass_gate(self._gate, self._uniqueness.steps)
            self._uniqueness.after_restore()
            apply_late_environment(resume.environment)
            if self._loaded is not None:
                name_log_stream()
        except BaseException as error:
            # Without a seed of its own this process must not serve.
            log_pipe.write(f"The process cannot go on: {describe(error)}\n", "error")
            os._exit(1)

    def _invoke(self, invoke: Invoke) -> None:
        if self._loop is None:
            # In a context of its own, as a task has one: nothing of it is left for hooks.
            copy_context().run(_run_through, self._answer(invoke))
            return
        task = self._loop.create_task(self._answer(invoke))
        self._tasks.add(task)
        task.add_done_callback(self._on_done)

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            # The bridge is gone, or the function wants the process to end.
            log_pipe.write(f"The process cannot go on: {describe(error)}\n", "error")
            os._exit(1)

    async def _answer(self, invoke: Invoke) -> None:
        invocations.begin(invoke)
        self._uniqueness.begin_invocation(invoke)
        try:
            if self._loaded is None or self._broken is not None:
                error = self._broken or InvocationError("Runtime.NoFunction", "No function is loaded: send LoadFunction first.")
                await self._bridge.answer(invoke.id, error_answer(invoke.request_id, error))
                return
            answer = await self._invocations.run(invoke, *self._loaded)
            log_pipe.flush()
            try:
                await self._bridge.answer(invoke.id, answer)
            except ProtocolError as error:
                # Headers longer than a frame are the function's fault, and its invocation's error.
                await self._bridge.answer(invoke.id, error_answer(invoke.request_id, error))
        finally:
            invocations.end(invoke)

    def _wait(self, result: Any) -> Any:
        """Waits for what may be awaited, on the function's event loop."""
        if not hasattr(result, "__await__"):
            return result
        return self._event_loop().run_until_complete(_awaited(result))

    def _event_loop(self) -> asyncio.AbstractEventLoop:
        """The function's event loop, made when it is first needed. From then on it runs whenever the process waits."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            asyncio.set_event_loop(self._loop)
        return self._loop

    def _report_hook(self, error: Exception) -> None:
        self._report(error if isinstance(error, FunctionError) else FunctionError("FIRN_FUNCTION_HOOK", describe(error)), error)

    def _report(self, failure: FunctionError, cause: BaseException | None = None) -> None:
        if failure.__cause__ is None and cause is not failure:
            failure.__cause__ = cause
        failed = FunctionFailed(failure.code, message_of(failure), failure.stack)
        self._bridge.send(function_failed=failed)


async def _awaited(result: Any) -> Any:
    return await result


def _run_through(work: Coroutine[Any, Any, None]) -> None:
    """Runs what suspends only where an event loop runs, and none does here."""
    try:
        work.send(None)
    except StopIteration:
        return
    work.close()
    raise RuntimeError("A coroutine was suspended outside of the event loop.")
