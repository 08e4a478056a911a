import socket
import unittest

from runtime_process import RuntimeProcess

# Of a block that is nobody's (RFC 5737); connecting a datagram socket sends nothing.
PEER = ("192.0.2.1", 9)


class OpenResourcesTest(unittest.TestCase):
    def test_connections_to_other_machines_are_told_with_their_place(self):
        text = f"""
import socket
server = socket.create_server(("127.0.0.1", 0))
own = socket.create_connection(server.getsockname())
closed = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for each in (closed, one):
    try:
        each.connect({PEER})
    except OSError:
        pass
closed.close()
def lambda_handler(event, context):
    return ["connect" in vars(socket.socket)]
"""
        with RuntimeProcess.loaded(text) as runtime:
            warnings = runtime.quiesce()
            # A machine without any network has no way there.
            expected = ["FIRN_CONNECTION_BEFORE_SNAPSHOT"] if _is_reachable() else []
            self.assertEqual([warning.code for warning in warnings], expected)
            for warning in warnings:
                self.assertIn(": lambda_function.py:9 (192.0.2.1:9). ", warning.message)
            runtime.resume()
            runtime.call()
            self.assertEqual(runtime.quiesce(), [])

    def test_timers_that_run_are_told_with_their_place(self):
        text = """
import asyncio, threading
threading.Timer(500, print).start()
cancelled = threading.Timer(500, print)
cancelled.start()
cancelled.cancel()
async def tick():
    while True: await asyncio.sleep(700)
async def lambda_handler(event, context):
    if event == "tick": lambda_handler.task = asyncio.ensure_future(tick())
    await asyncio.sleep(0.01)
"""
        with RuntimeProcess.loaded(text) as runtime:
            runtime.call("tick")
            (warning,) = runtime.quiesce()
            self.assertEqual(warning.code, "FIRN_TIMER_BEFORE_SNAPSHOT")
            self.assertIn("lambda_function.py:3 (threading.Timer, 500 s), lambda_function.py:8 (event loop, in 700 s). ", warning.message)
            runtime.resume()
            runtime.call()


def _is_reachable():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        return probe.connect_ex(PEER) == 0


if __name__ == "__main__":
    unittest.main()
