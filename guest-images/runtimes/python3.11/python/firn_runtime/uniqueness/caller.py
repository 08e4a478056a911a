"""Who called what is being run."""

from __future__ import annotations

import os
import sys

from ..errors import is_own_file

_LIBRARY = os.path.dirname(os.__file__) + "/"
_DEPTH = 40

_REDRAWN = ("/numpy/random/", f"{_LIBRARY}tempfile.py", f"{_LIBRARY}multiprocessing/process.py")
"""What these modules draw is drawn anew in each clone, or of no consequence."""


def caller_outside() -> str | None:
    """The place in the function, as file and line, relative to the working directory; None if Python or the runtime did by themselves."""
    frame = sys._getframe(1)
    for _ in range(_DEPTH):
        path = frame.f_code.co_filename
        if any(redrawn in path for redrawn in _REDRAWN):
            return None
        inside = path.startswith(_LIBRARY) and "/site-packages/" not in path and "/dist-packages/" not in path
        if not (inside or is_own_file(path) or path.startswith("<")):
            short = os.path.relpath(path)
            return f"{path if short.startswith('..') else short}:{frame.f_lineno}"
        if frame.f_back is None:
            break
        frame = frame.f_back
    return None
