import random
import re
import unittest
from contextlib import suppress
from pathlib import Path

import runtime_process  # noqa: F401 - it makes the runtime importable
from firn_runtime.wire import messages
from firn_runtime.wire.codec import MAX_MESSAGE_BYTES, FrameDecoder, ProtocolError, decode, encode, frame
from firn_runtime.wire.fields import fields_of

PROTO = Path(__file__).resolve().parents[4] / "packages" / "protocol" / "proto"
FIELD = re.compile(r"^\s*(repeated )?(map<string, string>|\w+) (\w+) = (\d+);", re.MULTILINE)
# Of the agent and of runtimes that it talks to over HTTP.
NOT_FOR_RUNTIMES = {"LoadFunction": {"command", "port"}, "FunctionReady": {"awaits_restore"}}


def declared(text):
    """The fields of every message in a .proto file, by its name."""
    text = re.sub(r"//.*", "", text)
    found = {}
    for name, body in re.findall(r"message (\w+) \{((?:[^{}]|\{[^{}]*\})*)\}", text):
        found[name] = {int(number): (field, bool(many), kind) for many, kind, field, number in FIELD.findall(body)}
    return found


class WireTest(unittest.TestCase):
    def test_the_messages_are_those_of_the_proto_files(self):
        there = {**declared((PROTO / "agent.proto").read_text()), **declared((PROTO / "bridge.proto").read_text())}
        here = [one for one in vars(messages).values() if isinstance(one, type) and one.__module__ == messages.__name__]
        self.assertGreater(len(here), 15)
        for cls in here:
            ours = {number: (name, kind.name == "MESSAGES", of or kind.value) for number, (name, kind, of) in fields_of(cls).items()}
            others = NOT_FOR_RUNTIMES.get(cls.__name__, set())
            theirs = {number: field for number, field in there[cls.__name__].items() if field[0] not in others}
            self.assertEqual(ours, theirs, cls.__name__)

    def test_a_message_comes_back_as_it_was(self):
        header = messages.Header("a", "ä")
        invoke = messages.Invoke(id=2**32 - 1, request_id="r", timeout_ms=1, kind="http", payload=b"\0\xff", headers=[header, header])
        command = messages.RuntimeCommand(invoke=invoke)
        self.assertEqual(decode(messages.RuntimeCommand, encode(command)), command)
        resume = messages.RuntimeResume(bytes(64), {"A": "1", "Ü": "", "": "x"})
        self.assertEqual(decode(messages.RuntimeResume, encode(resume)), resume)
        self.assertEqual(encode(messages.RuntimeReport(runtime_ready=messages.RuntimeReady())), b"\x0a\x00")
        self.assertEqual(encode(messages.RuntimeLog(text=b"", invocation=300)), b"\x20\xac\x02")

    def test_unknown_fields_are_left_out(self):
        data = b"\xf8\x07\x01" + b"\xfa\x07\x02ab" + b"\xfd\x07abcd" + b"\xf9\x07abcdefgh"
        self.assertEqual(decode(messages.Credit, data + encode(messages.Credit(1, 2))), messages.Credit(1, 2))

    def test_what_cannot_be_sent_is_refused(self):
        for number in (-1, 2**32):
            with self.assertRaisesRegex(ProtocolError, "bytes is"):
                encode(messages.Credit(1, number))
        with self.assertRaisesRegex(ProtocolError, "16777"):
            frame(messages.RuntimeLog(text=bytes(MAX_MESSAGE_BYTES)))
        self.assertEqual(encode(messages.Header("\ud800", "")), b"\x0a\x01?")

    def test_malformed_bytes_are_an_error_and_nothing_else(self):
        whole = encode(messages.RuntimeCommand(invoke=messages.Invoke(1, "request", 2, "event", b"payload")))
        draw = random.Random(1)
        broken = [whole[:cut] for cut in range(len(whole))]
        broken += [draw.randbytes(draw.randrange(60)) for _ in range(3000)]
        for data in broken:
            with suppress(ProtocolError):
                decode(messages.RuntimeCommand, data)

    def test_frames_are_cut_whatever_the_chunks(self):
        sent = [messages.Credit(number, 7) for number in range(1, 20)]
        stream = b"".join(frame(one) for one in sent)
        for size in (1, 2, 3, 5, len(stream)):
            decoder = FrameDecoder()
            got = []
            for at in range(0, len(stream), size):
                got += [decode(messages.Credit, one) for one in decoder.push(stream[at : at + size])]
            self.assertEqual(got, sent)
        with self.assertRaises(ProtocolError):
            FrameDecoder().push(b"\xff\xff\xff\xff")


if __name__ == "__main__":
    unittest.main()
