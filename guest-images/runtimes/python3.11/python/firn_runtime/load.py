"""Finds and imports a function."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from .environment import note_early_reads, refuse_late_variables, set_lambda_environment
from .errors import FunctionError, describe, message_of
from .wire.messages import LoadFunction

_UNNAMED = ("", "default")
_DEFAULT_MODULES = ("lambda_function", "main", "app")
_DEFAULT_NAMES = ("lambda_handler", "handler", "app", "application")
_NAMES_SHOWN = 20

LAYERS = ("/opt/python/lib/python3.11/site-packages", "/opt/python")
"""Where AWS Lambda has the packages of layers."""


@dataclass(slots=True)
class Loaded:
    """What is to be called, and how AWS Lambda names it."""

    target: Any
    name: str


def load_handler(load: LoadFunction, root: str, runtime_folder: str) -> Loaded:
    """Imports the module that the handler is in. Raises FunctionError FIRN_FUNCTION_IMPORT, with AWS Lambda's name for what is wrong."""
    refuse_late_variables(load.environment)
    module, names = split_handler(load, root)
    os.chdir(root)
    set_lambda_environment(load, root, runtime_folder, f"{module}.{names[0]}")
    extra = [path for path in load.environment.get("PYTHONPATH", "").split(":") if path]
    sys.path[:0] = [root, *extra, *filter(os.path.isdir, LAYERS)]
    importlib.invalidate_caches()
    with note_early_reads():
        imported = _import(module, root)
    for name in names:
        target = _attribute(imported, name)
        if target is not None:
            os.environ["_HANDLER"] = f"{module}.{name}"
            return Loaded(target, f"{module}.{name}")
    raise _error("HandlerNotFound", f"Handler '{names[0]}' missing on module '{module}'. {_what_it_has(imported)}")


def split_handler(load: LoadFunction, root: str) -> tuple[str, list[str]]:
    """The module, and names in it of which the first that is there is the handler.

    Entry and handler are what was before and behind the first dot of AWS Lambda's "folder/module.function", or said apart. Dots of a
    package's name may be in either.
    """
    entry = load.entry.removesuffix(".py").replace("/", ".").strip(".")
    handler = "" if load.handler in _UNNAMED else load.handler.replace("/", ".")
    if handler == "":
        return entry or _default_module(root), list(_DEFAULT_NAMES)
    module, _, name = f"{entry}.{handler}".strip(".").rpartition(".")
    return module or _default_module(root), [name]


def _default_module(root: str) -> str:
    there = (name for name in _DEFAULT_MODULES if os.path.exists(os.path.join(root, f"{name}.py")))
    return next(there, _DEFAULT_MODULES[0])


def _import(module: str, root: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except FunctionError:
        raise
    except ImportError as error:
        hint = ""
        if error.name == module or (error.name is not None and module.startswith(f"{error.name}.")):
            hint = f". The archive has: {_listing(root)}"
        elif isinstance(error, ModuleNotFoundError):
            hint = f". Put it into the archive: pip install --target DIR {error.name or ''}".rstrip()
        raise _error("ImportModuleError", f"Unable to import module '{module}': {message_of(error)}{hint}") from error
    except SyntaxError as error:
        # Python's own message names file and line.
        place = "".join(traceback.format_exception_only(error)).strip()
        raise _error("UserCodeSyntaxError", f"Syntax error in module '{module}': {place}") from error
    except SystemExit as error:
        raise _error("ExitError", f"{module} ended the process when it was imported: sys.exit({error.code!r})") from error
    except Exception as error:
        raise FunctionError("FIRN_FUNCTION_IMPORT", f"{module} cannot be imported: {describe(error)}") from error


def _attribute(module: ModuleType, name: str) -> Any:
    target = getattr(module, name, None)
    if target is not None and not callable(target):
        kind = type(target).__name__
        raise _error("HandlerNotFound", f"'{name}' of module '{module.__name__}' is a {kind}, and cannot be called.")
    return target


def _what_it_has(module: ModuleType) -> str:
    own = [name for name, value in vars(module).items() if callable(value) and not name.startswith("_")]
    return f"It has: {', '.join(sorted(own)[:_NAMES_SHOWN]) or 'no function'}."


def _listing(root: str) -> str:
    names = sorted(os.listdir(root))
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return (", ".join(names[:_NAMES_SHOWN]) or "no files") + more


def _error(name: str, message: str) -> FunctionError:
    return FunctionError("FIRN_FUNCTION_IMPORT", f"Runtime.{name}: {message}")
