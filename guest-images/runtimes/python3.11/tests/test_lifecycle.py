import unittest

from runtime_process import PrepareSnapshot, RuntimeProcess


class LifecycleTest(unittest.TestCase):
    def test_hooks_run_in_their_order_and_are_awaited(self):
        text = """
import asyncio, os
import firn_guest, snapshot_restore_py
order = []
@firn_guest.warm_up
async def warm():
    await asyncio.sleep(0)
    order.append("warm")
    firn_guest.warm_up(lambda: order.append("warm again"))
@firn_guest.before_snapshot
async def first_before():
    order.append("before 1")
snapshot_restore_py.register_before_snapshot(order.append, "before 2")
@firn_guest.after_restore
async def first_after():
    await asyncio.sleep(0)
    order.append("after 1 " + os.environ["SECRET"])
snapshot_restore_py.register_after_restore(lambda *args, **more: order.append([args, more]), 1, two=2)
def lambda_handler(event, context): return order
"""
        with RuntimeProcess.loaded(text) as runtime:
            self.assertEqual(runtime.quiesce(), [])
            runtime.resume(SECRET="x")
            self.assertEqual(runtime.call(), ["warm", "warm again", "before 2", "before 1", "after 1 x", [[1], {"two": 2}]])

    def test_a_function_says_when_it_is_ready(self):
        text = """
import threading, firn_guest
firn_guest.defer_ready()
def later():
    global value
    value = "late"
    firn_guest.ready()
threading.Timer(0.1, later).start()
def lambda_handler(event, context): return value
"""
        with RuntimeProcess.loaded(text) as runtime:
            self.assertEqual(runtime.call(), "late")

    def test_a_function_that_does_not_get_ready_fails(self):
        with RuntimeProcess(
            {"lambda_function.py": "import firn_guest\nfirn_guest.defer_ready()\ndef lambda_handler(a, b): pass"}
        ) as runtime:
            runtime.load(ready_timeout_ms=50)
            failed = runtime.next("function_failed")
            self.assertEqual(failed.code, "FIRN_FUNCTION_NOT_READY")
            self.assertIn("50 milliseconds", failed.message)

    def test_a_hook_that_fails_is_told_to_the_host_and_to_invocations(self):
        text = """
import firn_guest
def lambda_handler(event, context): return 1
def broken(): raise OSError("no connection")
firn_guest.{}(broken)
"""
        with RuntimeProcess({"lambda_function.py": text.format("warm_up")}) as runtime:
            runtime.load()
            failed = runtime.next("function_failed")
            self.assertEqual((failed.code, failed.message), ("FIRN_FUNCTION_HOOK", "A warm_up hook failed: OSError: no connection"))
            self.assertIn("in broken", failed.stack)
        with RuntimeProcess.loaded(text.format("before_snapshot")) as runtime:
            runtime.send(prepare_snapshot=PrepareSnapshot())
            self.assertEqual(runtime.next("function_failed").code, "FIRN_FUNCTION_HOOK")
            self.assertEqual(runtime.call(), 1)
        with RuntimeProcess.loaded(text.format("after_restore")) as runtime:
            runtime.quiesce()
            runtime.open_gate()
            self.assertEqual(runtime.next("function_failed").message, "A after_restore hook failed: OSError: no connection")
            runtime.next("resumed")
            self.assertEqual(runtime.invoke().json["errorType"], "Runtime.AfterRestoreError")

    def test_a_base_is_snapshotted_without_a_function(self):
        with RuntimeProcess({"lambda_function.py": "def lambda_handler(event, context): return event"}) as runtime:
            self.assertEqual(runtime.quiesce(), [])
            runtime.resume()
            self.assertEqual(runtime.invoke().json["errorType"], "Runtime.NoFunction")
            runtime.load()
            runtime.next("function_ready")
            for _ in range(2):
                runtime.quiesce()
                runtime.resume()
                self.assertEqual(runtime.call([1]), [1])

    def test_the_sdk_does_nothing_elsewhere(self):
        import firn_guest
        import snapshot_restore_py

        for register in (firn_guest.warm_up, firn_guest.before_snapshot, firn_guest.after_restore):
            hook = self.fail
            self.assertIs(register(hook), hook)
        snapshot_restore_py.register_after_restore(self.fail)
        firn_guest.defer_ready()
        firn_guest.ready()


if __name__ == "__main__":
    unittest.main()
