"""The variables that a function finds."""

from __future__ import annotations

import os
import secrets
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from . import log_pipe
from .context import REGION
from .errors import FunctionError
from .wire.messages import LoadFunction

_missed: set[str] = set()

_TOO_LATE = {
    *("PYTHONCOERCECLOCALE", "PYTHONDEVMODE", "PYTHONHASHSEED", "PYTHONHOME", "PYTHONMALLOC", "PYTHONMALLOCSTATS"),
    *("PYTHONOPTIMIZE", "PYTHONPLATLIBDIR", "PYTHONPROFILEIMPORTTIME", "PYTHONTRACEMALLOC", "PYTHONUTF8"),
    *("PYTHONNODEBUGRANGES", "PYTHONSAFEPATH", "PYTHONVERBOSE", "PYTHONDEBUG", "PYTHONINSPECT"),
}
"""What Python reads when it starts, which is before a function is deployed, and what then cannot be changed."""


def refuse_late_variables(environment: dict[str, str]) -> None:
    """Raises FunctionError for variables that cannot have the effect that they have elsewhere."""
    found = sorted(_TOO_LATE.intersection(environment))
    if found:
        message = f"{', '.join(found)} would have no effect: Python runs before a function is deployed. Remove it from the environment."
        raise FunctionError("FIRN_FUNCTION_IMPORT", message)


def set_lambda_environment(load: LoadFunction, root: str, runtime_folder: str, handler: str) -> None:
    """Sets what functions written for AWS Lambda look for; what the function's own settings name stays theirs."""
    own = load.environment
    os.environ.update(
        {
            "AWS_REGION": own.get("AWS_REGION") or own.get("AWS_DEFAULT_REGION") or REGION,
            "AWS_DEFAULT_REGION": own.get("AWS_DEFAULT_REGION") or own.get("AWS_REGION") or REGION,
            "AWS_EXECUTION_ENV": f"AWS_Lambda_python{sys.version_info.major}.{sys.version_info.minor}",
            "AWS_LAMBDA_FUNCTION_NAME": load.function_name,
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(load.memory_mib),
            "AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start",
            "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{load.function_name}",
            "LAMBDA_TASK_ROOT": root,
            "LAMBDA_RUNTIME_DIR": runtime_folder,
            "TZ": ":UTC",
            "_HANDLER": handler,
        }
    )
    name_log_stream()
    os.environ.update(own)
    time.tzset()


def apply_late_environment(environment: dict[str, str]) -> None:
    """Sets variables of a process that has loaded its function, such as those of a clone, before its after-restore hooks run."""
    missed = sorted(_missed.intersection(environment))
    if missed:
        log_pipe.warn(
            f"Warning: {', '.join(missed)}: read while the module was imported, and not there yet, for the environment comes with each "
            'start. Read it in the handler or in an after_restore hook, or set "firn": { "snapshotEnvironment": true } in package.json.'
        )
    _apply(environment)


@contextmanager
def note_early_reads() -> Iterator[None]:
    """Notes which variables are looked for in vain: a module that reads one at its top would go without for ever."""
    kind = type(os.environ)
    original = kind.__getitem__

    def watched(self: os._Environ[str], name: str) -> str:
        try:
            return original(self, name)
        except KeyError:
            if self is os.environ and isinstance(name, str):
                _missed.add(name)
            raise

    kind.__getitem__ = watched  # type: ignore[method-assign]
    try:
        yield
    finally:
        kind.__getitem__ = original  # type: ignore[method-assign]


def name_log_stream() -> None:
    """Draws a new name for what this process logs: each clone has its own."""
    day = time.strftime("%Y/%m/%d", time.gmtime())
    version = os.environ.get("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
    os.environ["AWS_LAMBDA_LOG_STREAM_NAME"] = f"{day}/[{version}]{secrets.token_hex(16)}"


def _apply(environment: dict[str, str]) -> None:
    if environment:
        os.environ.update(environment)
        time.tzset()
