"""How an HTTP request reaches a handler of events: payload format 2.0 of AWS Lambda function URLs."""

from __future__ import annotations

import base64
import time
from typing import Any
from urllib.parse import parse_qsl, unquote

from ..wire.messages import Invoke
from .request import HttpRequest, read_request

_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]


def to_function_url_event(invoke: Invoke) -> dict[str, Any]:
    request = read_request(invoke)
    now = time.time()
    domain = request.host
    path = unquote(request.raw_path)
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": request.raw_path,
        "rawQueryString": request.query,
        "cookies": _cookies(request),
        "headers": _joined([pair for pair in request.headers if pair[0] != "cookie"]),
        "queryStringParameters": _joined(parse_qsl(request.query, keep_blank_values=True)),
        "requestContext": {
            "accountId": "anonymous",
            "apiId": domain.split(".")[0],
            "domainName": domain,
            "domainPrefix": domain.split(".")[0],
            "http": {
                "method": request.method,
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": request.source,
                "userAgent": request.first("user-agent"),
            },
            "requestId": invoke.request_id,
            "routeKey": "$default",
            "stage": "$default",
            "time": _common_log_time(now),
            "timeEpoch": int(now * 1000),
        },
        **_body(request.body),
    }


def _cookies(request: HttpRequest) -> list[str]:
    all_values = (value for name, value in request.headers if name == "cookie")
    return [cookie.strip() for value in all_values for cookie in value.split(";") if cookie.strip()]


def _joined(pairs: list[tuple[str, str]]) -> dict[str, str]:
    """Values of the same name become one, with commas between them."""
    joined: dict[str, str] = {}
    for name, value in pairs:
        joined[name] = f"{joined[name]},{value}" if name in joined else value
    return joined


def _body(payload: bytes) -> dict[str, Any]:
    """Text if its bytes are UTF-8, whatever its media type says, and base64 otherwise. No byte is lost."""
    if not payload:
        return {"isBase64Encoded": False}
    try:
        return {"body": payload.decode(), "isBase64Encoded": False}
    except UnicodeDecodeError:
        return {"body": base64.b64encode(payload).decode(), "isBase64Encoded": True}


def _common_log_time(now: float) -> str:
    """For example "12/Mar/2020:19:03:58 +0000"."""
    at = time.gmtime(now)
    return f"{at.tm_mday:02}/{_MONTHS[at.tm_mon - 1]}/{at.tm_year}:{time.strftime('%H:%M:%S', at)} +0000"
