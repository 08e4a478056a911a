"""The handler of `logging` that functions find at its root, as in AWS Lambda."""

from __future__ import annotations

import contextvars
import logging
import time

from . import log_pipe

request_id: contextvars.ContextVar[str] = contextvars.ContextVar("firn_request_id", default="")
"""Of the invocation whose code runs."""

_FORMAT = "[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s"
_LEVELS = ((logging.CRITICAL, "fatal"), (logging.ERROR, "error"), (logging.WARNING, "warn"), (logging.INFO, "info"))


class _RequestId(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.aws_request_id = request_id.get()
        return True


class LambdaLoggerHandler(logging.Handler):
    """Writes to the function's log, with the record's level."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            log_pipe.write(f"{self.format(record)}\n", _level_of(record.levelno))
        except Exception:
            self.handleError(record)


def install() -> None:
    """Puts the handler at the root of `logging`: there `basicConfig()` finds one, and does nothing, as in AWS Lambda."""
    handler = LambdaLoggerHandler()
    formatter = logging.Formatter(_FORMAT, "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    handler.addFilter(_RequestId())
    logging.getLogger().addHandler(handler)


def _level_of(number: int) -> str:
    return next((name for least, name in _LEVELS if number >= least), "debug")
