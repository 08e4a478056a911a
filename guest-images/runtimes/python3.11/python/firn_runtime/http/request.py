"""What all shapes need to know of a request."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from ..wire.messages import Header, Invoke


@dataclass(slots=True)
class HttpRequest:
    """A request; an event is the JSON body of a POST to `/`."""

    method: str
    scheme: str
    host: str
    raw_path: str
    """As it was sent, with its percent signs."""
    query: str
    headers: list[tuple[str, str]]
    """Names in small letters."""
    body: bytes

    @property
    def source(self) -> str:
        """The caller's address. The server appends it; what stands before it is what the caller says."""
        forwarded = ",".join(value for name, value in self.headers if name == "x-forwarded-for")
        return forwarded.rpartition(",")[2].strip() or "127.0.0.1"

    def first(self, name: str) -> str:
        return next((value for one, value in self.headers if one == name), "")


def read_request(invoke: Invoke) -> HttpRequest:
    """The request that an invocation is."""
    if invoke.kind != "http":
        invoke = Invoke(method="POST", url="/", headers=[Header("content-type", "application/json")], payload=invoke.payload)
    url = urlsplit(invoke.url or "/")
    headers = [(header.name.lower(), header.value) for header in invoke.headers]
    host = next((value for name, value in headers if name == "host"), url.netloc or "function")
    if not any(name == "host" for name, _ in headers):
        headers.append(("host", host))
    path = url.path or "/"
    return HttpRequest(invoke.method or "GET", url.scheme or "http", host, path, url.query, headers, invoke.payload)
