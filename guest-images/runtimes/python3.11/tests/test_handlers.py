import unittest

from runtime_process import RuntimeProcess


class HandlersTest(unittest.TestCase):
    def load(self, files, **load):
        runtime = self.enterContext(RuntimeProcess(files))
        runtime.load(**load)
        return runtime

    def test_a_handler_gets_event_and_context(self):
        text = """
def lambda_handler(event, context):
    return {"event": event, "id": context.aws_request_id, "name": context.function_name, "memory": context.memory_limit_in_mb,
        "left": context.get_remaining_time_in_millis(), "arn": context.invoked_function_arn, "version": context.function_version,
        "stream": context.log_stream_name, "identity": context.identity.cognito_identity_id, "rehearsal": context.rehearsal,
        "client": context.client_context and [context.client_context.custom, context.client_context.client.app_title]}
"""
        with RuntimeProcess.loaded(text) as runtime:
            client = '{"custom":{"a":1},"client":{"app_title":"t"}}'
            answer = runtime.invoke([1, "ä"], client_context=client, function_version="3", rehearsal=True).json
            self.assertEqual(answer["event"], [1, "ä"])
            self.assertEqual(answer["client"], [{"a": 1}, "t"])
            self.assertTrue(0 < answer.pop("left") <= 10_000)
            self.assertRegex(answer.pop("stream"), r"^\d{4}/\d\d/\d\d/\[\$LATEST\][0-9a-f]{32}$")
            expected = {
                "id": "request-1",
                "name": "example",
                "memory": "128",
                "version": "3",
                "identity": None,
                "rehearsal": True,
            }
            self.assertEqual({name: answer[name] for name in expected}, expected)
            self.assertEqual(answer["arn"], "arn:aws:lambda:local:000000000000:function:example")
            self.assertIs(runtime.call()["rehearsal"], False)

    def test_handlers_are_found_as_on_aws_lambda(self):
        files = {
            "lambda_function.py": "def lambda_handler(event, context): return 'default'",
            "main.py": "def handler(event, context): return 'main'\ndef other(event, context): return 'other'",
            "pkg/__init__.py": "",
            "pkg/sub/mod.py": "from . import helper\ndef fn(event, context): return helper.name",
            "pkg/sub/__init__.py": "",
            "pkg/sub/helper.py": "name = 'nested'",
        }
        for entry, handler, expected in (
            ("", "", "default"),
            ("", "default", "default"),
            ("main", "", "main"),
            ("main.py", "default", "main"),
            ("main", "other", "other"),
            ("", "main.other", "other"),
            ("pkg", "sub.mod.fn", "nested"),
            ("pkg/sub/mod", "fn", "nested"),
            ("pkg/sub/mod.py", "fn", "nested"),
        ):
            with self.subTest(entry=entry, handler=handler):
                runtime = self.load(files, entry=entry, handler=handler)
                runtime.next("function_ready")
                self.assertEqual(runtime.call(), expected)

    def test_what_cannot_be_loaded_is_told_by_the_names_of_aws_lambda(self):
        files = {
            "lambda_function.py": "def lambda_handler(event, context): pass\nnumber = 1",
            "broken.py": "def f(:\n    pass",
            "needs.py": "import nowhere_to_be_found",
            "raises.py": "def inner():\n    raise KeyError('x')\ninner()",
            "leaves.py": "import sys\nsys.exit(2)",
            "old.py": "def app(scope): pass",
        }
        for entry, handler, said in (
            (
                "lambda_function",
                "other",
                "Runtime.HandlerNotFound: Handler 'other' missing on module 'lambda_function'. It has: lambda_handler.",
            ),
            ("lambda_function", "number", "Runtime.HandlerNotFound: 'number' of module 'lambda_function' is a int"),
            (
                "missing",
                "handler",
                "Runtime.ImportModuleError: Unable to import module 'missing': No module named 'missing'. The archive has: broken.py",
            ),
            ("needs", "handler", "No module named 'nowhere_to_be_found'. Put it into the archive"),
            ("broken", "f", "Runtime.UserCodeSyntaxError: Syntax error in module 'broken': File \""),
            ("raises", "f", "raises cannot be imported: KeyError: 'x'"),
            ("leaves", "f", "Runtime.ExitError: leaves ended the process when it was imported: sys.exit(2)"),
            ("old", "app", "ASGI 2"),
        ):
            with self.subTest(entry=entry):
                failed = self.load(files, entry=entry, handler=handler).next("function_failed")
                self.assertEqual(failed.code, "FIRN_FUNCTION_IMPORT")
                self.assertIn(said, failed.message)
                if entry == "raises":
                    self.assertIn('raises.py", line 2, in inner', failed.stack)
                    self.assertNotIn("firn_runtime", failed.stack)

    def test_an_async_handler_is_awaited_and_several_run_at_once(self):
        text = """
import asyncio
arrived = asyncio.Event()
async def lambda_handler(event, context):
    if event["wait"]:
        await arrived.wait()
    arrived.set()
    return context.aws_request_id
"""
        with RuntimeProcess.loaded(text) as runtime:
            first, second = runtime.begin({"wait": True}), runtime.begin({"wait": False})
            results = runtime.results(2)
            self.assertEqual([results[first].json, results[second].json], ["request-1", "request-2"])

    def test_a_plain_handler_may_run_an_event_loop_of_its_own_or_return_an_awaitable(self):
        text = """
import asyncio
async def work(): await asyncio.sleep(0); return "done"
def lambda_handler(event, context):
    return asyncio.run(work()) if event["own"] else work()
"""
        with RuntimeProcess.loaded(text) as runtime:
            self.assertEqual([runtime.call({"own": own}) for own in (True, False)], ["done", "done"])

    def test_payloads_come_and_go_in_pieces(self):
        text = "def lambda_handler(event, context): return event[::-1]"
        for form in (text, f"async {text}"):
            with RuntimeProcess.loaded(form) as runtime:
                self.assertEqual(runtime.call("ab" * 500_000), "ba" * 500_000)

    def test_a_cancelled_async_invocation_ends_and_others_do_not(self):
        text = """
import asyncio
async def lambda_handler(event, context):
    print("here")
    if event: await asyncio.sleep(60)
    return 1
"""
        with RuntimeProcess.loaded(text) as runtime:
            id = runtime.begin({"sleep": 1})
            runtime.until_logged("here")
            runtime.cancel(id)
            self.assertEqual(runtime.results(1)[id].json["errorType"], "AbortError")
            self.assertEqual(runtime.call({}), 1)


if __name__ == "__main__":
    unittest.main()
