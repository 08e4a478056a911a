"""The context of AWS Lambda that a handler gets."""

from __future__ import annotations

import json
import os
import time
from types import SimpleNamespace
from typing import Any

from .errors import InvocationError
from .wire.messages import Invoke, LoadFunction

REGION = "local"
"""Where functions run, as far as AWS SDKs and the names of functions are concerned."""


class LambdaContext:
    """What an invocation's surroundings say. Lengths of time are in milliseconds."""

    def __init__(self, invoke: Invoke, load: LoadFunction, deadline: float) -> None:
        name = load.function_name
        self.aws_request_id = invoke.request_id
        self.function_name = name
        self.function_version = invoke.function_version or os.environ.get("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
        self.invoked_function_arn = invoke.function_arn or f"arn:aws:lambda:{REGION}:000000000000:function:{name}"
        self.memory_limit_in_mb = str(load.memory_mib)
        self.log_group_name = os.environ.get("AWS_LAMBDA_LOG_GROUP_NAME", f"/aws/lambda/{name}")
        self.log_stream_name = os.environ.get("AWS_LAMBDA_LOG_STREAM_NAME", "")
        self.identity = SimpleNamespace(cognito_identity_id=None, cognito_identity_pool_id=None)
        self.client_context = _client_context(invoke.client_context)
        self.rehearsal = invoke.rehearsal
        self._deadline = deadline

    def get_remaining_time_in_millis(self) -> int:
        return max(0, int((self._deadline - time.monotonic()) * 1000))

    def log(self, message: Any) -> None:
        print(message, end="")

    def __repr__(self) -> str:
        return f"LambdaContext(aws_request_id={self.aws_request_id!r}, function_name={self.function_name!r})"


_CLIENT_FIELDS = ("installation_id", "app_title", "app_version_name", "app_version_code", "app_package_name")


def _client_context(text: str) -> Any:
    """Raises InvocationError Runtime.LambdaContextUnmarshalError if it is no JSON object."""
    if text == "":
        return None
    try:
        said = json.loads(text)
        if not isinstance(said, dict):
            raise ValueError("it is no object")
    except ValueError as error:
        message = f"Unable to parse Client Context JSON: {error}"
        raise InvocationError("Runtime.LambdaContextUnmarshalError", message) from error
    client = said.get("client")
    fields = None if client is None else SimpleNamespace(**{name: client.get(name) for name in _CLIENT_FIELDS})
    return SimpleNamespace(custom=said.get("custom"), env=said.get("env"), client=fields)
