"""The messages of the bridge, the gate and the log pipe. What a field means is said in the .proto files."""

from __future__ import annotations

from dataclasses import dataclass

from .fields import boolean, message, messages, octets, string, texts, uint32


@dataclass(slots=True)
class LoadFunction:
    entry: str = string(1)
    handler: str = string(2)
    environment: dict[str, str] = texts(3)
    ready_timeout_ms: int = uint32(4)
    function_name: str = string(5)
    memory_mib: int = uint32(6)


@dataclass(slots=True)
class Header:
    name: str = string(1)
    value: str = string(2)


@dataclass(slots=True)
class Invoke:
    id: int = uint32(1)
    request_id: str = string(2)
    timeout_ms: int = uint32(3)
    kind: str = string(4)
    payload: bytes = octets(5)
    method: str = string(6)
    url: str = string(7)
    headers: list[Header] = messages(8, "Header")
    more: bool = boolean(9)
    trace_id: str = string(10)
    client_context: str = string(11)
    function_version: str = string(12)
    function_arn: str = string(13)
    rehearsal: bool = boolean(14)


@dataclass(slots=True)
class CancelInvoke:
    id: int = uint32(1)


@dataclass(slots=True)
class PayloadChunk:
    id: int = uint32(1)
    data: bytes = octets(2)
    last: bool = boolean(3)


@dataclass(slots=True)
class Credit:
    id: int = uint32(1)
    bytes: int = uint32(2)


@dataclass(slots=True)
class PrepareSnapshot:
    pass


@dataclass(slots=True)
class SetEnvironment:
    environment: dict[str, str] = texts(1)


@dataclass(slots=True)
class RuntimeCommand:
    load_function: LoadFunction | None = message(1, "LoadFunction")
    prepare_snapshot: PrepareSnapshot | None = message(2, "PrepareSnapshot")
    invoke: Invoke | None = message(3, "Invoke")
    cancel_invoke: CancelInvoke | None = message(4, "CancelInvoke")
    payload_chunk: PayloadChunk | None = message(5, "PayloadChunk")
    credit: Credit | None = message(6, "Credit")
    set_environment: SetEnvironment | None = message(7, "SetEnvironment")


@dataclass(slots=True)
class RuntimeReady:
    pass


@dataclass(slots=True)
class FunctionReady:
    pass


@dataclass(slots=True)
class FunctionFailed:
    code: str = string(1)
    message: str = string(2)
    stack: str = string(3)


@dataclass(slots=True)
class Warning:
    code: str = string(1)
    message: str = string(2)


@dataclass(slots=True)
class RuntimeQuiesced:
    warnings: list[Warning] = messages(1, "Warning")


@dataclass(slots=True)
class RuntimeResumed:
    pass


@dataclass(slots=True)
class ResponseHead:
    id: int = uint32(1)
    status: int = uint32(2)
    headers: list[Header] = messages(3, "Header")
    payload: bytes = octets(4)
    streams: bool = boolean(5)


@dataclass(slots=True)
class InvokeEnd:
    id: int = uint32(1)
    function_error: str = string(2)
    error_type: str = string(3)
    error_message: str = string(4)
    duration_us: int = uint32(5)
    memory_peak_kib: int = uint32(6)
    init_us: int = uint32(7)
    restore_us: int = uint32(8)


@dataclass(slots=True)
class RuntimeReport:
    runtime_ready: RuntimeReady | None = message(1, "RuntimeReady")
    function_ready: FunctionReady | None = message(2, "FunctionReady")
    function_failed: FunctionFailed | None = message(3, "FunctionFailed")
    quiesced: RuntimeQuiesced | None = message(4, "RuntimeQuiesced")
    resumed: RuntimeResumed | None = message(5, "RuntimeResumed")
    response_head: ResponseHead | None = message(6, "ResponseHead")
    payload_chunk: PayloadChunk | None = message(7, "PayloadChunk")
    credit: Credit | None = message(8, "Credit")
    invoke_end: InvokeEnd | None = message(9, "InvokeEnd")


@dataclass(slots=True)
class RuntimeResume:
    entropy: bytes = octets(1)
    environment: dict[str, str] = texts(2)


@dataclass(slots=True)
class RuntimeLog:
    stream: str = string(1)
    text: bytes = octets(2)
    level: str = string(3)
    invocation: int = uint32(4)
