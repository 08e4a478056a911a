"""What the program does."""

from __future__ import annotations

import argparse
import atexit
import fcntl
import os
import sys

import firn_guest
import snapshot_restore_py  # noqa: F401 - a function's own copy of it would not know of Firn's hooks

from . import lambda_logging, log_pipe
from .function_runtime import FunctionRuntime

_DESCRIPTORS = ("FIRN_BRIDGE_FD", "FIRN_GATE_FD", "FIRN_LOG_FD")


def main() -> None:
    """Serves until the agent is gone. The arguments and variables of the runtime are not there for the function to see."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--root", required=True, help="folder of the function's files")
    root = parser.parse_args().root
    del sys.argv[1:]
    bridge, gate, log = (_take_descriptor(name) for name in _DESCRIPTORS)
    if bridge is None or gate is None:
        raise SystemExit("FIRN_BRIDGE_FD and FIRN_GATE_FD, two descriptors, must be set: the agent starts this program.")
    # The function's own modules come before those of this folder.
    own_folder = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    sys.path[:] = [*(path for path in sys.path if os.path.abspath(path) != own_folder), own_folder]
    log_pipe.install(log)
    lambda_logging.install()
    runtime = FunctionRuntime(bridge, gate, root, own_folder)
    firn_guest._lifecycle = runtime.hooks
    try:
        runtime.serve()
        status = 0
    except SystemExit as error:
        # The function ends the process. Threads that it has left behind must not keep it.
        status = _status_of(error.code)
    log_pipe.flush()
    atexit._run_exitfuncs()
    log_pipe.flush()
    os._exit(status)


def _status_of(code: object) -> int:
    if code is None or isinstance(code, int):
        return (code or 0) & 0xFF
    log_pipe.write(f"{code}\n", "error")
    return 1


def _take_descriptor(name: str) -> int | None:
    text = os.environ.pop(name, None)
    if text is None:
        return None
    descriptor = int(text)
    # Programs that the function starts could outlive this one, or read what is meant for it.
    flags = fcntl.fcntl(descriptor, fcntl.F_GETFD)
    fcntl.fcntl(descriptor, fcntl.F_SETFD, flags | fcntl.FD_CLOEXEC)
    return descriptor
