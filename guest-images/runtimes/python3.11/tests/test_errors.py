import unittest

from runtime_process import RuntimeProcess


class ErrorsTest(unittest.TestCase):
    def test_an_error_has_the_form_of_aws_lambda_and_is_logged(self):
        text = """
def inner(): return {}["missing"]
def lambda_handler(event, context): return inner()
"""
        with RuntimeProcess.loaded(text) as runtime:
            result = runtime.invoke()
            self.assertEqual((result.error, result.status), ("Unhandled", 500))
            self.assertEqual(list(result.json), ["errorMessage", "errorType", "requestId", "stackTrace"])
            self.assertEqual(
                [result.json[name] for name in ("errorMessage", "errorType", "requestId")], ["'missing'", "KeyError", "request-1"]
            )
            frames = result.json["stackTrace"]
            self.assertEqual([frame.split(", ")[2].split("\n")[0] for frame in frames], ["in lambda_handler", "in inner"])
            runtime.until_logged("KeyError: 'missing'\n")
            self.assertTrue(runtime.log.startswith("[ERROR] KeyError: 'missing'\nTraceback (most recent call last):\n"), runtime.log)
            self.assertEqual({(id, level) for id, level, _ in runtime.lines}, {(1, "error")})
            self.assertEqual(frames[-1].split("\n")[1:], ['    def inner(): return {}["missing"]', ""])
            self.assertEqual(runtime.invoke().json["requestId"], "request-2")

    def test_results_that_are_no_json_are_marshal_errors(self):
        text = "def lambda_handler(event, context): return {'set': {1}, 'bytes': b'', 'cycle': None} if event else None"
        with RuntimeProcess.loaded(text) as runtime:
            error = runtime.invoke({"a": 1}).json
            self.assertEqual(error["errorType"], "Runtime.MarshalError")
            self.assertIn("Unable to marshal response: Object of type set is not JSON serializable", error["errorMessage"])
            self.assertEqual(error["stackTrace"], [])
            self.assertIsNone(runtime.call({}))

    def test_decimal_numbers_are_numbers_and_bytes_are_the_answer(self):
        text = """
from decimal import Decimal
def lambda_handler(event, context):
    return b"\\xff raw" if event == "bytes" else [Decimal("1.5"), Decimal("12345678901234567890"), Decimal("1E2")]
"""
        with RuntimeProcess.loaded(text) as runtime:
            self.assertEqual(runtime.invoke({}).text, "[1.5, 12345678901234567890, 100]")
            self.assertEqual(runtime.invoke("bytes").payload, b"\xff raw")

    def test_half_of_a_character_pair_is_json_all_the_same(self):
        with RuntimeProcess.loaded("def lambda_handler(event, context): return '\\ud800ä'") as runtime:
            self.assertEqual(runtime.call(), "\ud800ä")

    def test_errors_that_cannot_be_described_are_errors_all_the_same(self):
        text = """
class Odd(Exception):
    def __str__(self): raise RuntimeError("no")
def lambda_handler(event, context):
    raise Odd if event == 1 else ExceptionGroup("several", [ValueError("one"), TypeError("two")])
"""
        with RuntimeProcess.loaded(text) as runtime:
            self.assertEqual(runtime.invoke(1).json["errorType"], "Odd")
            self.assertEqual(runtime.invoke(2).json["errorMessage"], "several (2 sub-exceptions)")
            runtime.until_logged("TypeError: two")

    def test_sys_exit_ends_the_process_with_its_status(self):
        for form in ("def", "async def"):
            text = f"""
import sys, threading, time
{form} lambda_handler(event, context):
    threading.Thread(target=time.sleep, args=(60,)).start()
    print("bye")
    sys.exit(3)
"""
            with RuntimeProcess.loaded(text) as runtime:
                runtime.begin({})
                with self.assertRaisesRegex(AssertionError, r"has ended \(3\)"):
                    runtime.results(1)
                runtime.until_logged("bye\n")

    def test_an_async_handler_that_takes_too_long_has_timed_out(self):
        text = "import asyncio\nasync def lambda_handler(event, context): await asyncio.sleep(event)"
        with RuntimeProcess.loaded(text) as runtime:
            error = runtime.invoke(60, timeout_ms=50).json
            self.assertEqual(error["errorType"], "Sandbox.Timedout")
            self.assertEqual(error["errorMessage"], "RequestId: request-1 Error: Task timed out after 0.05 seconds")
            self.assertIsNone(runtime.call(0))

    def test_an_event_that_is_no_json_is_an_error(self):
        with RuntimeProcess.loaded("def lambda_handler(event, context): return event") as runtime:
            self.assertEqual(runtime.invoke(payload=b"{").json["errorType"], "Runtime.UnmarshalError")
            self.assertEqual(runtime.invoke(payload=b"\xef\xbb\xbf[1]").json, [1])
            self.assertEqual(runtime.invoke(payload=b"").json, {})
            error = runtime.invoke({}, client_context="{").json
            self.assertEqual(error["errorType"], "Runtime.LambdaContextUnmarshalError")
            self.assertIn("Unable to parse Client Context JSON: ", error["errorMessage"])


if __name__ == "__main__":
    unittest.main()
