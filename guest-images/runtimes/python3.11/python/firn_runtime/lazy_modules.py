"""Byte code of modules that the function may import later.

Nothing can be written beside the modules of a function, so what it imports in a request would be compiled in every clone anew. Modules that
were imported name those that their functions import: these are compiled before the snapshot and kept in memory, as byte code.
"""

from __future__ import annotations

import dis
import marshal
import os
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator
from importlib.machinery import SourceFileLoader
from types import CodeType

_MAX_SOURCE_BYTES = 4 * 1024 * 1024
_MAX_SECONDS = 5.0


class LazyModules:
    def __init__(self) -> None:
        self._folders: list[str] = []
        self._imported: deque[tuple[str, CodeType]] = deque()
        self._compiled: dict[str, bytes] = {}
        self._left_bytes = _MAX_SOURCE_BYTES

    def watch(self) -> None:
        """From here on it is noted which modules are imported."""
        original_get, original_compile = SourceFileLoader.get_code, SourceFileLoader.source_to_code
        outer = self

        def get_code(self: SourceFileLoader, fullname: str) -> CodeType | None:
            kept = outer._compiled.get(self.path)
            return original_get(self, fullname) if kept is None else marshal.loads(kept)

        def source_to_code(self: SourceFileLoader, data, path, *, _optimize: int = -1):
            code = original_compile(self, data, path, _optimize=_optimize)
            if isinstance(path, str):
                outer._imported.append((_package(self.name, path), code))
            return code

        SourceFileLoader.get_code = get_code  # type: ignore[method-assign]
        SourceFileLoader.source_to_code = source_to_code  # type: ignore[method-assign]

    def compile(self, folders: Iterable[str]) -> None:
        """Compiles what was not imported so far, of modules in these folders: those that are nearest first, and not for ever."""
        self._folders = list(folders)
        deadline = time.monotonic() + _MAX_SECONDS
        while self._imported and self._left_bytes > 0 and time.monotonic() < deadline:
            package, code = self._imported.popleft()
            for name in _imports(code, package):
                self._compile(name)
        self._imported.clear()

    def _compile(self, name: str) -> None:
        """Compiles a module, and the packages that it is in."""
        for end in [at for at, letter in enumerate(name) if letter == "."] + [len(name)]:
            part = name[:end]
            path = None if part in sys.modules else self._find(part)
            if path is None or path in self._compiled:
                continue
            try:
                with open(path, "rb") as file:
                    source = file.read(self._left_bytes)
                self._left_bytes -= len(source)
                code = compile(source, path, "exec", dont_inherit=True)
            except (OSError, SyntaxError, ValueError, RecursionError):
                # Who imports it is told.
                continue
            self._compiled[path] = marshal.dumps(code)
            self._imported.append((_package(part, path), code))

    def _find(self, name: str) -> str | None:
        for folder in self._folders:
            stem = os.path.join(folder, *name.split("."))
            for path in (f"{stem}/__init__.py", f"{stem}.py"):
                if os.path.isfile(path):
                    return path
        return None


def _package(name: str, path: str) -> str:
    """The package in which the imports of a module are relative."""
    return name if path.endswith("/__init__.py") else name.rpartition(".")[0]


def _imports(code: CodeType, package: str) -> Iterator[str]:
    """Names of all modules that code, or a function in it, may import. A name that is imported from a module may be a module."""
    # Two constants precede it: how many dots stand before the name, and what is imported from the module.
    level, names = None, None
    for instruction in dis.get_instructions(code):
        if instruction.opname == "LOAD_CONST":
            level, names = names, instruction.argval
        elif instruction.opname == "IMPORT_NAME":
            base = _absolute(instruction.argval, level if isinstance(level, int) else 0, package)
            if base is not None:
                yield base
                yield from (f"{base}.{name}" for name in (names or ()) if isinstance(name, str) and name != "*")
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _imports(constant, package)


def _absolute(name: str, level: int, package: str) -> str | None:
    if level == 0:
        return name
    parents = package.split(".")
    if package == "" or level > len(parents):
        return None
    base = ".".join(parents[: len(parents) - level + 1])
    return f"{base}.{name}" if name else base
