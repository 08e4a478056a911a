"""What is said of errors: to the host, to the caller, and in the log."""

from __future__ import annotations

import json
import os
import traceback

from . import log_pipe
from .answer import Answer, Failure, json_headers

_OWN_FOLDER = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + "/"
_MESSAGE_LIMIT = 32 * 1024
_FRAMES_LIMIT = 100


class FunctionError(Exception):
    """Why a function cannot be used: the host gets code, message and stack."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code

    @property
    def stack(self) -> str:
        return "" if self.__cause__ is None else stack_of(self.__cause__)


class InvocationError(Exception):
    """An error of an invocation with the name that AWS Lambda gives it."""

    def __init__(self, name: str, message: str, trace: list[str] | None = None) -> None:
        super().__init__(message)
        self.name = name
        self.trace = trace or []


def type_of(error: BaseException) -> str:
    return error.name if isinstance(error, InvocationError) else type(error).__name__


def message_of(error: BaseException) -> str:
    """Its message, of bounded length. Never raises, whatever the error's `__str__` does."""
    try:
        text = str(error)
    except Exception:
        text = "(its message cannot be had: str() of the error failed)"
    return text if len(text) <= _MESSAGE_LIMIT else f"{text[:_MESSAGE_LIMIT]}… ({len(text) - _MESSAGE_LIMIT} more)"


def describe(error: BaseException) -> str:
    """Type and message in one line."""
    return f"{type_of(error)}: {message_of(error)}"


def trace_of(error: BaseException) -> list[str]:
    """The frames of the function that it came through, as AWS Lambda's stackTrace has them; those of the runtime say nothing."""
    if isinstance(error, InvocationError):
        return error.trace
    # Without the marks below a line that newer releases of Python have.
    return traceback.format_list([(one.filename, one.lineno, one.name, one.line) for one in _frames(error)])


def stack_of(error: BaseException) -> str:
    """The whole of it as Python prints it, with what caused it."""
    exception = traceback.TracebackException(type(error), error, error.__traceback__, limit=-_FRAMES_LIMIT)
    _drop_own(exception, set())
    return "".join(exception.format()).rstrip("\n")


def _drop_own(exception: traceback.TracebackException | None, seen: set[int]) -> None:
    if exception is None or id(exception) in seen:
        return
    seen.add(id(exception))
    exception.stack = traceback.StackSummary.from_list([one for one in exception.stack if not is_own_file(one.filename)])
    for below in (exception.__cause__, exception.__context__, *(exception.exceptions or [])):
        _drop_own(below, seen)


def _frames(error: BaseException) -> list[traceback.FrameSummary]:
    frames = traceback.extract_tb(error.__traceback__, limit=-_FRAMES_LIMIT)
    return [frame for frame in frames if not is_own_file(frame.filename)]


def is_own_file(path: str) -> bool:
    """Whether a file is one of the runtime's, or of the machinery of imports."""
    return path.startswith((_OWN_FOLDER, "<frozen importlib")) or path.endswith("/importlib/__init__.py")


def error_answer(request_id: str, error: BaseException) -> Answer:
    """The answer to an invocation that failed, as AWS Lambda's Python gives it."""
    body = {
        "errorMessage": message_of(error),
        "errorType": type_of(error),
        "requestId": request_id,
        "stackTrace": trace_of(error),
    }
    payload = json.dumps(body).encode()
    return Answer(500, json_headers(), payload, Failure(type_of(error), message_of(error)))


def log_error(error: BaseException) -> None:
    """Writes an error to the function's log, as AWS Lambda's Python does."""
    stack = stack_of(error) if not isinstance(error, InvocationError) else "".join(error.trace).rstrip("\n")
    lines = f"[ERROR] {describe(error)}" + (f"\n{stack}" if stack else "")
    log_pipe.write(f"{lines}\n", "error")
