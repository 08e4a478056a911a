"""The stream of messages between the agent and this process."""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any

from .answer import Answer, Failure
from .wire.codec import FrameDecoder, decode, frame
from .wire.messages import (
    CancelInvoke,
    Credit,
    Invoke,
    InvokeEnd,
    PayloadChunk,
    ResponseHead,
    RuntimeCommand,
    RuntimeReport,
)

_INITIAL_CREDIT = 256 * 1024
_MAX_CHUNK = 64 * 1024
_READ_BYTES = 256 * 1024


@dataclass(slots=True)
class _Answering:
    """An answer on its way."""

    credit: int = _INITIAL_CREDIT
    cancelled: bool = False
    wake: asyncio.Future[None] | None = None

    def heard(self) -> None:
        if self.wake is not None and not self.wake.done():
            self.wake.set_result(None)


@dataclass(slots=True)
class _Incoming:
    """An invocation whose payload is not complete."""

    invoke: Invoke
    pieces: list[bytes] = field(default_factory=list)


class AgentGone(Exception):
    """The agent has closed the bridge."""


class Bridge:
    """Commands in, reports out. Pieces of payloads and credit for them are handled in here."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)
        self._descriptor = descriptor
        self._decoder = FrameDecoder()
        self._commands: deque[Any] = deque()
        self._incoming: dict[int, _Incoming] = {}
        self._answering: dict[int, _Answering] = {}

    def next(self) -> Any:
        """The next command, whatever it takes. An invocation comes with the whole of its payload."""
        while not self._commands:
            self._receive()
        return self._commands.popleft()

    async def next_async(self) -> Any:
        """The next command; the event loop runs until it comes."""
        while not self._commands:
            await self._readable()
            self._receive()
        return self._commands.popleft()

    def send(self, **report: Any) -> None:
        """Sends a report, given by the name of its kind. Raises ProtocolError for one that is too long."""
        # A blocking socket sends all of it. The agent reads at any time.
        self._socket.sendall(frame(RuntimeReport(**report)))

    async def answer(self, id: int, answer: Answer) -> None:
        """Sends an answer, piece by piece as it is made and as the host takes it.

        Suspends only where an event loop runs. Raises ProtocolError, with nothing sent, for headers that are too long.
        """
        answering = self._answering[id] = _Answering()
        failure = answer.failure
        try:
            if answer.chunks is None:
                # What is short goes out in one call.
                first = answer.payload[:_INITIAL_CREDIT]
                head = frame(RuntimeReport(response_head=ResponseHead(id, answer.status, answer.headers, first)))
                rest = answer.payload[len(first) :]
                if not rest:
                    self._socket.sendall(head + _end(id, failure))
                    return
                answering.credit = 0
                self._socket.sendall(head)
                await self._send_pieces(id, rest, answering)
            else:
                self.send(response_head=ResponseHead(id, answer.status, answer.headers, streams=True))
                failure = await self._stream(id, answer, answering) or failure
            if answering.cancelled:
                failure = Failure("AbortError", "The invocation was cancelled.", begun=True)
            self._socket.sendall(_end(id, failure))
        finally:
            del self._answering[id]

    async def _stream(self, id: int, answer: Answer, answering: _Answering) -> Failure | None:
        chunks = answer.chunks
        try:
            if isinstance(chunks, AsyncGenerator):
                async for chunk in chunks:
                    await self._send_pieces(id, chunk, answering)
                    if answering.cancelled:
                        await chunks.aclose()
            else:
                for chunk in chunks or ():
                    await self._send_pieces(id, chunk, answering)
                    if answering.cancelled:
                        chunks.close()
        except Exception as error:
            return answer.fail(error)
        return None

    async def _send_pieces(self, id: int, data: bytes, answering: _Answering) -> None:
        left = memoryview(data)
        while left and not answering.cancelled:
            if answering.credit == 0:
                await self._more_credit(answering)
                continue
            piece = left[: min(answering.credit, _MAX_CHUNK)]
            answering.credit -= len(piece)
            left = left[len(piece) :]
            self.send(payload_chunk=PayloadChunk(id, bytes(piece), False))

    async def _more_credit(self, answering: _Answering) -> None:
        loop = asyncio._get_running_loop()
        if loop is None:
            self._receive()
            return
        answering.wake = loop.create_future()
        await answering.wake

    def _receive(self) -> None:
        data = self._socket.recv(_READ_BYTES)
        if not data:
            raise AgentGone
        for message in self._decoder.push(data):
            self._handle(decode(RuntimeCommand, message))

    async def _readable(self) -> None:
        loop = asyncio.get_running_loop()
        readable = loop.create_future()
        loop.add_reader(self._descriptor, lambda: readable.done() or readable.set_result(None))
        try:
            await readable
        finally:
            loop.remove_reader(self._descriptor)

    def _handle(self, command: RuntimeCommand) -> None:
        if command.invoke is not None:
            self._begin(command.invoke)
        elif command.payload_chunk is not None:
            self._go_on(command.payload_chunk)
        elif command.credit is not None:
            answering = self._answering.get(command.credit.id)
            if answering is not None:
                answering.credit += command.credit.bytes
                answering.heard()
        elif command.cancel_invoke is not None:
            self._cancel(command.cancel_invoke)
        else:
            kinds = (command.load_function, command.prepare_snapshot, command.set_environment)
            self._commands.extend(kind for kind in kinds if kind is not None)

    def _begin(self, invoke: Invoke) -> None:
        if not invoke.more:
            self._commands.append(invoke)
            return
        self._incoming[invoke.id] = _Incoming(invoke, [invoke.payload])
        self._grant(invoke.id, len(invoke.payload))

    def _go_on(self, chunk: PayloadChunk) -> None:
        incoming = self._incoming.get(chunk.id)
        if incoming is None:
            return
        incoming.pieces.append(chunk.data)
        if not chunk.last:
            self._grant(chunk.id, len(chunk.data))
            return
        del self._incoming[chunk.id]
        incoming.invoke.payload = b"".join(incoming.pieces)
        self._commands.append(incoming.invoke)

    def _cancel(self, cancel: CancelInvoke) -> None:
        answering = self._answering.get(cancel.id)
        if answering is not None:
            answering.cancelled = True
            answering.heard()
        elif self._incoming.pop(cancel.id, None) is not None or self._take_waiting(cancel.id):
            failure = Failure("AbortError", "The invocation was cancelled.", begun=True)
            self._socket.sendall(_end(cancel.id, failure))
        else:
            self._commands.append(cancel)

    def _take_waiting(self, id: int) -> bool:
        waiting = next((one for one in self._commands if isinstance(one, Invoke) and one.id == id), None)
        if waiting is not None:
            self._commands.remove(waiting)
        return waiting is not None

    def _grant(self, id: int, count: int) -> None:
        if count > 0:
            self.send(credit=Credit(id, count))


def _end(id: int, failure: Failure | None) -> bytes:
    """The agent fills in what it measures."""
    if failure is None:
        return frame(RuntimeReport(invoke_end=InvokeEnd(id)))
    broken = (failure.type, failure.message) if failure.begun else ("", "")
    return frame(RuntimeReport(invoke_end=InvokeEnd(id, "Unhandled", *broken)))
