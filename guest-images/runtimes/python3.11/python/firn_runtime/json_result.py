"""A handler's result as JSON."""

from __future__ import annotations

import json
from typing import Any

from .errors import InvocationError, message_of


def to_json(result: Any) -> bytes:
    """Raises InvocationError Runtime.MarshalError if it cannot be written as JSON."""
    try:
        text = json.dumps(result, ensure_ascii=False)
        try:
            return text.encode()
        except UnicodeEncodeError:
            # Half of a character pair: JSON has a way to write it.
            return json.dumps(result).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvocationError("Runtime.MarshalError", f"Unable to marshal response: {message_of(error)}") from error
