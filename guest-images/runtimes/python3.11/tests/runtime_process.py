"""A real runtime process, and in this process the agent's ends of its bridge, gate and log."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

PYTHON_FOLDER = Path(__file__).resolve().parent.parent / "python"
sys.path.insert(0, str(PYTHON_FOLDER))

from firn_runtime.wire.codec import FrameDecoder, decode, frame  # noqa: E402
from firn_runtime.wire.messages import (  # noqa: E402
    CancelInvoke,
    Credit,
    Header,
    Invoke,
    LoadFunction,
    PayloadChunk,
    PrepareSnapshot,
    RuntimeCommand,
    RuntimeLog,
    RuntimeReport,
    RuntimeResume,
)

_LIMIT_SECONDS = 30
_CREDIT = 256 * 1024


class Result:
    """The answer to an invocation."""

    def __init__(self, status: int, headers: list[Header], payload: bytes, end: Any) -> None:
        self.status = status
        self.headers = [(header.name, header.value) for header in headers]
        self.payload = payload
        self.error = end.function_error
        self.broken = (end.error_type, end.error_message)

    @property
    def json(self) -> Any:
        return json.loads(self.payload)

    @property
    def text(self) -> str:
        return self.payload.decode()


class RuntimeProcess:
    """A process over a folder with these files."""

    def __init__(self, files: dict[str, str]) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="firn-python-")
        self.root = Path(self._folder.name)
        for name, text in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        self._bridge, its_bridge = socket.socketpair()
        its_gate, self._gate = os.pipe()
        self._log, its_log = os.pipe()
        descriptors = {"FIRN_BRIDGE_FD": its_bridge.fileno(), "FIRN_GATE_FD": its_gate, "FIRN_LOG_FD": its_log}
        command = [sys.executable, "-I", "-B", str(PYTHON_FOLDER), f"--root={self.root}"]
        env = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **{name: str(one) for name, one in descriptors.items()}}
        self.child = subprocess.Popen(
            command, env=env, pass_fds=list(descriptors.values()), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        its_bridge.close()
        os.close(its_gate)
        os.close(its_log)
        self._bridge.settimeout(_LIMIT_SECONDS)
        self._decoder = FrameDecoder()
        self._reports: list[RuntimeReport] = []
        self._next_id = 0
        self.logged: list[RuntimeLog] = []
        self.raw = b""
        self._readers = [threading.Thread(target=read, daemon=True) for read in (self._read_log, self._read_output)]
        for reader in self._readers:
            reader.start()
        self.next("runtime_ready")

    def __enter__(self) -> RuntimeProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self._bridge.close()
        os.close(self._gate)
        self.child.kill()
        self.child.wait()
        for reader in self._readers:
            reader.join(_LIMIT_SECONDS)
        self.child.stdout.close()
        os.close(self._log)
        self._folder.cleanup()

    @classmethod
    def loaded(cls, text: str, **load: Any) -> RuntimeProcess:
        """One that has loaded this module."""
        runtime = cls({"lambda_function.py": text})
        runtime.load(**load)
        runtime.next("function_ready")
        return runtime

    @property
    def lines(self) -> list[tuple[int, str, str]]:
        """What it logged: invocation, level, text."""
        return [(one.invocation, one.level, one.text.decode("utf-8", "replace")) for one in self.logged]

    @property
    def log(self) -> str:
        return "".join(text for _, _, text in self.lines)

    def until_logged(self, text: str) -> None:
        """Waits until a text was logged."""
        deadline = time.monotonic() + _LIMIT_SECONDS
        while text not in self.log:
            if time.monotonic() > deadline:
                raise AssertionError(f"{text!r} was not logged, but: {self.log}")
            time.sleep(0.01)

    def send(self, **command: Any) -> None:
        self._bridge.sendall(frame(RuntimeCommand(**command)))

    def load(self, **load: Any) -> None:
        settings = {"function_name": "example", "memory_mib": 128, "ready_timeout_ms": 10_000, **load}
        self.send(load_function=LoadFunction(**settings))

    def report(self) -> RuntimeReport:
        while not self._reports:
            data = self._bridge.recv(65536)
            if not data:
                self.child.wait(_LIMIT_SECONDS)
                raise AssertionError(f"The runtime has ended ({self.child.returncode}): {self.log} {self.raw.decode()}")
            self._reports += [decode(RuntimeReport, message) for message in self._decoder.push(data)]
        return self._reports.pop(0)

    def next(self, kind: str) -> Any:
        """The next report, which must be of this kind."""
        report = self.report()
        found = getattr(report, kind)
        assert found is not None, f"Expected {kind}, got {report} {self.log}"
        return found

    def begin(self, event: Any = None, **invoke: Any) -> int:
        """Begins an invocation."""
        self._next_id += 1
        payload = invoke.pop("payload", None)
        data = json.dumps(event).encode() if payload is None else payload
        settings = {"kind": "event", "request_id": f"request-{self._next_id}", "timeout_ms": 10_000, **invoke}
        self.send(invoke=Invoke(id=self._next_id, payload=data[:_CREDIT], more=len(data) > _CREDIT, **settings))
        sent = _CREDIT
        while sent < len(data):
            granted = self.next("credit").bytes
            while granted > 0 and sent < len(data):
                piece = data[sent : sent + min(granted, 65536)]
                sent += len(piece)
                granted -= len(piece)
                self.send(payload_chunk=PayloadChunk(self._next_id, piece, sent == len(data)))
        return self._next_id

    def results(self, count: int) -> dict[int, Result]:
        """The answers that come next, by the ids of their invocations."""
        heads: dict[int, Any] = {}
        pieces: dict[int, list[bytes]] = {}
        found: dict[int, Result] = {}
        while len(found) < count:
            report = self.report()
            if report.response_head is not None:
                head = heads[report.response_head.id] = report.response_head
                pieces[head.id] = [head.payload]
                self.send(credit=Credit(head.id, len(head.payload)))
            elif report.payload_chunk is not None:
                pieces.setdefault(report.payload_chunk.id, []).append(report.payload_chunk.data)
                self.send(credit=Credit(report.payload_chunk.id, len(report.payload_chunk.data)))
            elif report.credit is None:
                end = report.invoke_end
                assert end is not None, report
                head = heads.get(end.id)
                found[end.id] = Result(head.status if head else 0, head.headers if head else [], b"".join(pieces.get(end.id, [])), end)
        return found

    def invoke(self, event: Any = None, **invoke: Any) -> Result:
        id = self.begin({} if event is None else event, **invoke)
        return self.results(1)[id]

    def call(self, event: Any = None) -> Any:
        """The answer to an event, which must be no error."""
        result = self.invoke(event)
        assert result.error == "", result.text
        return result.json

    def request(self, method: str, url: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Result:
        fields = [Header(name, value) for name, value in (headers or {}).items()]
        return self.invoke(kind="http", method=method, url=url, payload=body, headers=fields)

    def cancel(self, id: int) -> None:
        self.send(cancel_invoke=CancelInvoke(id))

    def quiesce(self) -> list[Any]:
        """Brings it to where a snapshot would be taken; gives its warnings."""
        self.send(prepare_snapshot=PrepareSnapshot())
        return self.next("quiesced").warnings

    def open_gate(self, **environment: str) -> None:
        os.write(self._gate, frame(RuntimeResume(os.urandom(64), environment)))

    def resume(self, **environment: str) -> None:
        self.open_gate(**environment)
        self.next("resumed")

    def _read_log(self) -> None:
        decoder = FrameDecoder()
        while data := os.read(self._log, 65536):
            self.logged += [decode(RuntimeLog, message) for message in decoder.push(data)]

    def _read_output(self) -> None:
        while data := os.read(self.child.stdout.fileno(), 65536):
            self.raw += data
