"""The HTTP answer in what a handler of function URL events returned."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from ..answer import Answer, json_headers
from ..json_result import to_json
from .headers import from_header_fields


def from_function_url_result(result: Any) -> Answer:
    """A dict with a `statusCode` is an answer; anything else is the body of one, text as it is and other values as JSON.

    Raises TypeError saying what of it HTTP cannot carry.
    """
    if not (isinstance(result, dict) and "statusCode" in result):
        raw = result.encode() if isinstance(result, str) else result
        payload = raw if isinstance(raw, bytes) else to_json(raw)
        return Answer(200, json_headers(), payload)
    payload = _body(result.get("body"), result.get("isBase64Encoded"))
    headers = from_header_fields(result)
    if payload and not any(header.name == "content-type" for header in headers):
        headers += json_headers()
    return Answer(_status(result["statusCode"]), headers, payload)


def _status(code: Any) -> int:
    status = int(code) if isinstance(code, str) and len(code) == 3 and code.isdecimal() else code
    # Below 200 HTTP has no answers, only announcements of one. An HTTPStatus is an int.
    if isinstance(status, int) and not isinstance(status, bool) and 200 <= status <= 599:
        return int(status)
    raise TypeError(f"The handler returned the statusCode {code!r}: return a number from 200 to 599.")


def _body(body: Any, is_encoded: Any) -> bytes:
    if is_encoded not in (None, True, False, "true", "false"):
        raise TypeError(f"isBase64Encoded is {is_encoded!r}: return True or False.")
    if body is None:
        return b""
    if isinstance(body, (bytes, bytearray, memoryview)):
        return bytes(body)
    if not isinstance(body, str):
        return to_json(body)
    if is_encoded not in (True, "true"):
        return body.encode()
    try:
        return base64.b64decode("".join(body.split()).translate({45: 43, 95: 47}), validate=True)
    except (binascii.Error, ValueError) as error:
        raise TypeError("isBase64Encoded is True, and the body is no base64.") from error
