"""Calls of ASGI 3 applications."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any
from urllib.parse import unquote

from ..answer import Answer, Failure
from ..context import LambdaContext
from ..errors import FunctionError, InvocationError, log_error, message_of, type_of
from ..wire.messages import Header, Invoke
from .headers import to_header
from .request import HttpRequest, read_request

_VERSIONS = {"version": "3.0", "spec_version": "2.4"}


class AsgiApplication:
    """An application, its lifespan, and its calls."""

    def __init__(self, application: Callable[..., Any]) -> None:
        self._application = application
        self._state: dict[str, Any] = {}
        self._lifespan: asyncio.Task[Any] | None = None

    async def start_up(self) -> None:
        """Tells it that it starts, and waits for what it does then. Raises FunctionError if it says that it failed."""
        inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        started: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()

        async def send(message: dict[str, Any]) -> None:
            if started.done():
                return
            if message["type"] == "lifespan.startup.complete":
                started.set_result(None)
            elif message["type"] == "lifespan.startup.failed":
                started.set_result(message.get("message") or "it said no reason")

        scope = {"type": "lifespan", "asgi": _VERSIONS, "state": self._state}
        inbox.put_nowait({"type": "lifespan.startup"})
        self._lifespan = asyncio.ensure_future(self._application(scope, inbox.get, send))
        await asyncio.wait((self._lifespan, started), return_when=asyncio.FIRST_COMPLETED)
        # An application that knows nothing of this raises at once, or returns.
        if started.done() and started.result() is not None:
            raise FunctionError("FIRN_FUNCTION_IMPORT", f"The ASGI application failed to start: {started.result()}")
        if self._lifespan.done():
            self._lifespan.exception()

    async def handle(self, invoke: Invoke, context: LambdaContext) -> Answer:
        """Calls it, and takes its answer: as a whole if it has only one part, else part by part as it sends them."""
        request = read_request(invoke)
        if request.first("upgrade").lower() == "websocket":
            raise InvocationError("Runtime.Unsupported", "WebSockets of ASGI applications are not supported: answer over HTTP.")
        call = _Call(_scope(request, self._state, context), request.body)
        call.task = asyncio.ensure_future(self._application(call.scope, call.receive, call.send))
        try:
            first = await call.next()
            if first.get("type") != "http.response.start":
                raise TypeError("The ASGI application returned without an answer.")
            status = first["status"]
            if not 200 <= status <= 599:
                raise ValueError(f"The ASGI application answered with status {status!r}: HTTP has 200 to 599.")
            headers = [_header(name, value) for name, value in first.get("headers", [])]
            part = await call.next()
        except BaseException:
            call.task.cancel()
            raise
        if part.get("more_body"):
            if request.method == "HEAD":
                call.task.cancel()
                return Answer(status, headers)
            return Answer(status, headers, chunks=call.chunks(part), fail=_fail)
        await call.finish()
        return Answer(status, headers, bytes(part.get("body", b"")))


class _Call:
    """One request, and the task that answers it."""

    task: asyncio.Task[Any]

    def __init__(self, scope: dict[str, Any], body: bytes) -> None:
        self.scope = scope
        self._body: bytes | None = body
        self._sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue(1)
        self._ended = asyncio.Event()
        self._is_gone = False

    async def receive(self) -> dict[str, Any]:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self._ended.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: dict[str, Any]) -> None:
        if message["type"] not in ("http.response.start", "http.response.body"):
            raise TypeError(f"The ASGI application sent {message['type']!r}, which is not supported.")
        if self._is_gone:
            raise OSError("Nobody reads the answer any more.")
        await self._sent.put(message)
        # Not before: an application may stop sending when it hears of the end.
        if message["type"] == "http.response.body" and not message.get("more_body"):
            self._ended.set()

    async def next(self) -> dict[str, Any]:
        """What the application sends next. Raises what it raises; an empty message if it returns instead."""
        getter = asyncio.ensure_future(self._sent.get())
        await asyncio.wait((getter, self.task), return_when=asyncio.FIRST_COMPLETED)
        if getter.done():
            return getter.result()
        getter.cancel()
        if not self._sent.empty():
            return self._sent.get_nowait()
        await self.task
        return {}

    async def chunks(self, part: dict[str, Any]) -> AsyncGenerator[bytes, None]:
        try:
            while True:
                body = bytes(part.get("body", b""))
                if body:
                    yield body
                if not part.get("more_body"):
                    break
                part = await self.next()
                if not part:
                    raise TypeError("The ASGI application returned within its answer.")
            await self.finish()
        finally:
            # Nobody reads on: the application is told so.
            self._is_gone = True
            self._ended.set()
            self.task.cancel()

    async def finish(self) -> None:
        """Background tasks run after the answer was sent, as part of the call."""
        await self.task


def _fail(error: Exception) -> Failure:
    log_error(error)
    return Failure(type_of(error), message_of(error), begun=True)


def _header(name: bytes, value: bytes) -> Header:
    return to_header(bytes(name).decode("latin-1"), bytes(value).decode("latin-1"))


def _scope(request: HttpRequest, state: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    name, _, port = request.host.partition(":")
    return {
        "type": "http",
        "asgi": _VERSIONS,
        "http_version": "1.1",
        "method": request.method.upper(),
        "scheme": request.scheme,
        "path": unquote(request.raw_path),
        "raw_path": request.raw_path.encode(),
        "query_string": request.query.encode(),
        "root_path": "",
        "headers": [(key.encode("latin-1", "replace"), value.encode("latin-1", "replace")) for key, value in request.headers],
        "client": (request.source, 0),
        "server": (name, int(port) if port.isdecimal() else (443 if request.scheme == "https" else 80)),
        "state": dict(state),
        "extensions": {},
        "firn.context": context,
    }
