"""The invocations that run. Each gets one answer, whatever the function does."""

from __future__ import annotations

import asyncio
import inspect
import os
import time
from collections.abc import Callable

from . import lambda_logging, log_pipe
from .answer import Answer, without_body
from .context import LambdaContext
from .errors import InvocationError, error_answer, log_error
from .handlers import Handler
from .wire.messages import Invoke, LoadFunction


class Invocations:
    """`event_loop` makes the function's event loop, or gives the one that there is."""

    def __init__(self, event_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
        self._event_loop = event_loop
        self._tasks: dict[int, asyncio.Task[Answer]] = {}

    async def run(self, invoke: Invoke, handler: Handler, load: LoadFunction) -> Answer:
        """Calls the handler. Suspends only if the handler is asynchronous.

        Raises only what ends the process, such as SystemExit.
        """
        deadline = time.monotonic() + invoke.timeout_ms / 1000
        if invoke.trace_id:
            os.environ["_X_AMZN_TRACE_ID"] = invoke.trace_id
        try:
            answer = handler(invoke, LambdaContext(invoke, load, deadline))
            if inspect.isawaitable(answer):
                in_time = self._in_time(invoke, answer, deadline)
                if asyncio._get_running_loop() is None:
                    # Nothing told before the call that this handler is asynchronous.
                    answer = self._event_loop().run_until_complete(in_time)
                else:
                    answer = await in_time
        except Exception as error:
            log_error(error)
            return error_answer(invoke.request_id, error)
        return without_body(answer) if invoke.kind == "http" and invoke.method == "HEAD" else answer

    def cancel(self, id: int) -> None:
        """Cancels the task of an invocation; one without a task cannot be stopped."""
        task = self._tasks.get(id)
        if task is not None:
            task.cancel()

    async def _in_time(self, invoke: Invoke, answer, deadline: float) -> Answer:
        task = self._tasks[invoke.id] = asyncio.ensure_future(answer)
        try:
            done, _ = await asyncio.wait((task,), timeout=max(0, deadline - time.monotonic()))
            if not done:
                task.cancel()
                raise _timeout(invoke)
            if task.cancelled():
                raise InvocationError("AbortError", "The invocation was cancelled.")
            return task.result()
        finally:
            del self._tasks[invoke.id]


def begin(invoke: Invoke) -> None:
    """From here on what is printed in this context belongs to the invocation."""
    log_pipe.invocation.set(invoke.id)
    lambda_logging.request_id.set(invoke.request_id)
    log_pipe.running.add(invoke.id)


def end(invoke: Invoke) -> None:
    """All that it printed is on its way."""
    log_pipe.flush()
    log_pipe.running.discard(invoke.id)


def _timeout(invoke: Invoke) -> InvocationError:
    message = f"RequestId: {invoke.request_id} Error: Task timed out after {invoke.timeout_ms / 1000:.2f} seconds"
    return InvocationError("Sandbox.Timedout", message)
