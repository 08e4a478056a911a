import unittest

from runtime_process import RuntimeProcess


class LogsTest(unittest.TestCase):
    def test_lines_belong_to_the_invocation_that_printed_them(self):
        text = """
import asyncio, logging, sys, threading
print("imported")
logger = logging.getLogger("mine")
logger.setLevel(logging.INFO)
turn = asyncio.Event()
async def lambda_handler(event, context):
    if event == "wait": await turn.wait()
    turn.set()
    print("printed", event)
    logger.info("logged %s", event)
    logger.warning("warned %s", event)
    print("complained", event, file=sys.stderr)
    sys.stdout.write("without an end " + event)
"""
        with RuntimeProcess.loaded(text) as runtime:
            first, second = runtime.begin("wait"), runtime.begin("go")
            runtime.results(2)
            runtime.until_logged("without an end wait")
            self.assertEqual(runtime.lines[0], (0, "", "imported\n"))
            for id, event in ((first, "wait"), (second, "go")):
                lines = [(level, line.split("\t")[-1]) for number, level, line in runtime.lines if number == id]
                expected = [("", f"printed {event}\n"), ("info", f"logged {event}\n"), ("warn", f"warned {event}\n")]
                self.assertEqual(lines, [*expected, ("", f"complained {event}\n"), ("", f"without an end {event}")])
            self.assertRegex(runtime.log, r"\[INFO\]\t\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\trequest-2\tlogged go\n")
            self.assertEqual({one.stream for one in runtime.logged}, {"stdout", "stderr"})

    def test_the_root_logger_is_that_of_aws_lambda(self):
        text = """
import logging
logging.basicConfig(level=logging.DEBUG, format="mine %(message)s")
def lambda_handler(event, context):
    logging.info("hidden")
    logging.getLogger().setLevel(logging.INFO)
    logging.info("shown")
    try: 1 / 0
    except ZeroDivisionError: logging.exception("caught")
"""
        with RuntimeProcess.loaded(text) as runtime:
            runtime.call()
            runtime.until_logged("ZeroDivisionError: division by zero\n")
            self.assertNotIn("hidden", runtime.log)
            self.assertNotIn("mine", runtime.log)
            self.assertRegex(runtime.log, r"\[ERROR\]\t.*\trequest-1\tcaught\nTraceback")

    def test_threads_of_the_only_invocation_and_programs_are_heard(self):
        text = """
import os, subprocess, sys, threading
def lambda_handler(event, context):
    thread = threading.Thread(target=print, args=("by a thread",))
    thread.start()
    thread.join()
    subprocess.run(["echo", "by a program"], stdout=sys.stdout)
    os.write(1, b"raw\\n")
    print("x" * 200_000)
    print("half \\ud800")
    sys.stdout.buffer.write(b"\\xff\\n")
"""
        with RuntimeProcess.loaded(text) as runtime:
            runtime.call()
            runtime.until_logged("half \\ud800")
            self.assertIn((1, "", "by a thread\n"), runtime.lines)
            self.assertEqual(sum(text.count("x") for _, _, text in runtime.lines), 200_000)
            self.assertEqual(runtime.raw, b"by a program\nraw\n")

    def test_nothing_that_the_runtime_needs_is_there_for_the_function(self):
        text = """
import os, sys
def lambda_handler(event, context):
    inherited = [os.get_inheritable(int(fd)) for fd in os.listdir("/proc/self/fd") if int(fd) > 2 and os.path.exists(f"/proc/self/fd/{fd}")]
    return [sys.argv[1:], [name for name in os.environ if name.startswith("FIRN_")], any(inherited)]
"""
        with RuntimeProcess.loaded(text) as runtime:
            self.assertEqual(runtime.call(), [[], [], False])


if __name__ == "__main__":
    unittest.main()
