"""What is done once, in the base that all functions share, so that it is in none of their snapshots and in no clone's first request."""

from __future__ import annotations

import asyncio
import importlib
import inspect
from typing import Any

from .answer import Answer
from .context import LambdaContext
from .errors import error_answer
from .handlers import AsgiHandler, EventHandler, Handler, WsgiHandler
from .wire.codec import frame
from .wire.messages import Header, Invoke, LoadFunction, ResponseHead, RuntimeReport

_USUAL_MODULES = (
    *("base64", "concurrent.futures", "copy", "csv", "dataclasses", "datetime", "decimal", "email.message", "email.parser", "glob"),
    *("hashlib", "hmac", "html", "http.client", "json", "logging.handlers", "mimetypes", "pathlib", "pickle", "pprint", "queue"),
    *("shutil", "sqlite3", "ssl", "statistics", "string", "subprocess", "tempfile", "textwrap", "urllib.parse", "urllib.request"),
    *("xml.etree.ElementTree", "zipfile", "zlib", "zoneinfo"),
)


def warm_up_runtime() -> None:
    """Imports what functions usually import, and sends invocations of both kinds through handlers of each shape."""
    for name in _USUAL_MODULES:
        importlib.import_module(name)
    handlers = [EventHandler(_echo, False), EventHandler(_echo_later, True), WsgiHandler(_wsgi), AsgiHandler(_asgi)]
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(_run(handlers))
    finally:
        loop.close()


async def _run(handlers: list[Handler]) -> None:
    load = LoadFunction(function_name="warm-up")
    headers = [Header("content-type", "application/json")]
    for handler in handlers:
        for kind in ("event", "http"):
            invoke = Invoke(kind=kind, payload=b'{"a":["b",1]}', method="POST", url="http://function/?a=b", headers=headers)
            answer = handler(invoke, LambdaContext(invoke, load, 0))
            if inspect.isawaitable(answer):
                answer = await answer
            _encode(answer)
    try:
        _fail()
    except LookupError as error:
        _encode(error_answer("", error))


def _encode(answer: Answer) -> None:
    frame(RuntimeReport(response_head=ResponseHead(1, answer.status, answer.headers, answer.payload)))


def _fail() -> None:
    raise LookupError("to be described")


def _echo(event: Any, context: Any) -> Any:
    return event


async def _echo_later(event: Any, context: Any) -> Any:
    await asyncio.sleep(0)
    return event


def _wsgi(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [("content-type", "text/plain")])
    return [environ["wsgi.input"].read()]


async def _asgi(scope: Any, receive: Any, send: Any) -> None:
    message = await receive()
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": message["body"]})
