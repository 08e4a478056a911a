"""Calls of WSGI applications (PEP 3333)."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any
from urllib.parse import unquote_to_bytes

from ..answer import Answer, Failure
from ..context import LambdaContext
from ..errors import log_error, message_of, type_of
from ..wire.messages import Header, Invoke
from .headers import to_header
from .request import HttpRequest, read_request


def call_wsgi(application: Callable[..., Any], invoke: Invoke, context: LambdaContext) -> Answer:
    """Calls it, and takes its answer: as a whole if it says its length, else part by part as it makes them."""
    return _Call(application, invoke, context).run()


class _Call:
    """One call. The status and the headers come by a callback, and parts of the body by another one, or by what is returned."""

    def __init__(self, application: Callable[..., Any], invoke: Invoke, context: LambdaContext) -> None:
        self._application = application
        self._environ = _environ(read_request(invoke), invoke, context)
        self._status = 0
        self._headers: list[Header] = []
        self._written: list[bytes] = []

    def run(self) -> Answer:
        parts = self._application(self._environ, self._start_response)
        iterator = iter(parts)
        try:
            # An application may call start_response as late as with its first part.
            first = next((part for part in iterator if part), b"")
            if self._status == 0:
                raise TypeError("The WSGI application returned without calling start_response().")
        except BaseException:
            _close(parts)
            raise
        if self._has_length() or isinstance(parts, (list, tuple)):
            try:
                payload = b"".join([*self._written, first, *iterator])
            finally:
                _close(parts)
            return Answer(self._status, self._headers, payload)
        chunks = _chunks([*self._written, first], iterator, parts)
        return Answer(self._status, self._headers, chunks=chunks, fail=_fail)

    def _has_length(self) -> bool:
        return any(header.name == "content-length" for header in self._headers)

    def _start_response(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], None]:
        if self._status != 0 and exc_info is None:
            raise AssertionError("start_response() was called a second time without exc_info.")
        code = int(status.split(" ", 1)[0])
        if not 200 <= code <= 599:
            raise ValueError(f"The WSGI application answered with status {status!r}: HTTP has 200 to 599.")
        self._status = code
        self._headers = [to_header(name, value) for name, value in headers]
        return self._written.append


def _chunks(begun: list[bytes], iterator: Iterator[bytes], parts: Iterable[bytes]) -> Generator[bytes]:
    try:
        yield from (part for part in begun if part)
        yield from (part for part in iterator if part)
    finally:
        _close(parts)


def _fail(error: Exception) -> Failure:
    log_error(error)
    return Failure(type_of(error), message_of(error), begun=True)


def _close(parts: Any) -> None:
    close = getattr(parts, "close", None)
    if close is not None:
        close()


def _environ(request: HttpRequest, invoke: Invoke, context: LambdaContext) -> dict[str, Any]:
    name, _, port = request.host.partition(":")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        # Bytes as text of one byte a character, as the standard wants it.
        "PATH_INFO": unquote_to_bytes(request.raw_path).decode("latin-1"),
        "RAW_URI": request.raw_path + (f"?{request.query}" if request.query else ""),
        "QUERY_STRING": request.query,
        "SERVER_NAME": name,
        "SERVER_PORT": port or ("443" if request.scheme == "https" else "80"),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": request.source,
        "CONTENT_LENGTH": str(len(request.body)),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": request.scheme,
        "wsgi.input": io.BytesIO(request.body),
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "firn.context": context,
        "firn.request_id": invoke.request_id,
    }
    for key, value in request.headers:
        variable = key.upper().replace("-", "_")
        if variable == "CONTENT_LENGTH":
            continue
        variable = variable if variable == "CONTENT_TYPE" else f"HTTP_{variable}"
        separator = "; " if key == "cookie" else ","
        environ[variable] = f"{environ[variable]}{separator}{value}" if variable in environ else value
    return environ
