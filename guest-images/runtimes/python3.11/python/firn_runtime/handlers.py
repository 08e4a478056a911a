"""The shapes that a function's handler may have."""

from __future__ import annotations

import inspect
import json
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from .answer import Answer, json_headers
from .context import LambdaContext
from .errors import FunctionError, InvocationError
from .http.asgi import AsgiApplication
from .http.function_url_event import to_function_url_event
from .http.function_url_result import from_function_url_result
from .http.wsgi import call_wsgi
from .json_result import to_json
from .load import Loaded
from .wire.messages import Header, Invoke


class Handler(Protocol):
    """Answers invocations."""

    is_async: bool
    """Whether it wants an event loop that runs."""

    def __call__(self, invoke: Invoke, context: LambdaContext) -> Answer | Awaitable[Answer]: ...


class EventHandler:
    """`handler(event, context)`: an HTTP request reaches it as an event of an AWS Lambda function URL."""

    def __init__(self, call: Callable[..., Any], is_async: bool) -> None:
        self._call = call
        self.is_async = is_async

    def __call__(self, invoke: Invoke, context: LambdaContext) -> Answer | Awaitable[Answer]:
        event = to_function_url_event(invoke) if invoke.kind == "http" else _parse_event(invoke.payload)
        result = self._call(event, context)
        if inspect.isawaitable(result):
            return self._later(result, invoke)
        return _answer(result, invoke)

    async def _later(self, result: Awaitable[Any], invoke: Invoke) -> Answer:
        return _answer(await result, invoke)


class WsgiHandler:
    """A WSGI application: an event reaches it as the JSON body of a POST."""

    is_async = False

    def __init__(self, application: Callable[..., Any]) -> None:
        self._application = application

    def __call__(self, invoke: Invoke, context: LambdaContext) -> Answer:
        return call_wsgi(self._application, invoke, context)


class AsgiHandler:
    """An ASGI application: an event reaches it as the JSON body of a POST."""

    is_async = True

    def __init__(self, application: Callable[..., Any]) -> None:
        self.application = AsgiApplication(application)

    def __call__(self, invoke: Invoke, context: LambdaContext) -> Awaitable[Answer]:
        return self.application.handle(invoke, context)


def make_handler(loaded: Loaded) -> Handler:
    """Tells the shape of a handler by its parameters. Raises FunctionError for what cannot be called like any of them."""
    target = loaded.target
    names = _parameters(target)
    if names[1:2] == ["start_response"]:
        return WsgiHandler(target)
    if len(names) == 3 and names[1:] == ["receive", "send"]:
        return AsgiHandler(target)
    if names == ["scope"]:
        message = (
            f"{loaded.name} is an application of ASGI 2, which takes a scope alone: only ASGI 3, called with scope, receive and send, "
            "is supported."
        )
        raise FunctionError("FIRN_FUNCTION_IMPORT", message)
    return EventHandler(target, _is_async(target))


def _parameters(target: Any) -> list[str]:
    """Names of its positional parameters; none if they cannot be known."""
    try:
        signature = inspect.signature(target)
    except (TypeError, ValueError):
        return []
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    required = [one for one in signature.parameters.values() if one.kind in positional]
    return [one.name for one in required]


def _is_async(target: Any) -> bool:
    return inspect.iscoroutinefunction(target) or inspect.iscoroutinefunction(getattr(target, "__call__", None))


def _parse_event(payload: bytes) -> Any:
    if not payload:
        return {}
    try:
        return json.loads(payload.decode("utf-8-sig"))
    except ValueError as error:
        raise InvocationError("Runtime.UnmarshalError", f"Unable to unmarshal input: {error}") from error


def _answer(result: Any, invoke: Invoke) -> Answer:
    if invoke.kind == "http":
        return from_function_url_result(result)
    if isinstance(result, bytes):
        # As AWS Lambda: they are the answer.
        return Answer(200, [Header("content-type", "application/unknown")], result)
    return Answer(200, json_headers(), to_json(result))
