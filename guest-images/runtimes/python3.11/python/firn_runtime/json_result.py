"""A handler's result as JSON."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from typing import Any

from .errors import InvocationError, message_of


def to_json(result: Any) -> bytes:
    """As AWS Lambda's Python: decimal numbers are numbers. Raises InvocationError Runtime.MarshalError if it is no JSON."""
    try:
        text = json.dumps(result, ensure_ascii=False, default=_default)
        try:
            return text.encode()
        except UnicodeEncodeError:
            # Half of a character pair: JSON has a way to write it.
            return json.dumps(result, default=_default).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvocationError("Runtime.MarshalError", f"Unable to marshal response: {message_of(error)}") from error


def _default(value: Any) -> Any:
    if isinstance(value, Decimal):
        if value.is_nan():
            return math.nan
        return int(value) if value.is_finite() and value == value.to_integral_value() else float(value)
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")
