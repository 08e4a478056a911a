import os
import tempfile
import unittest
from pathlib import Path

from runtime_process import RuntimeProcess

# Gives every source the state that a clone would find, so that only what the resume does to it can make two turns differ.
SAME_STATE = """
import firn_guest, random, uuid, tempfile, threading
own = random.Random(5)
tempfile.mktemp()
uuid.uuid1()
node = uuid.getnode()
normals = [random.gauss(0, 1)]
states = random.getstate(), own.getstate(), tempfile._name_sequence.rng.getstate()
@firn_guest.before_snapshot
def rewind():
    random.setstate(states[0]); own.setstate(states[1]); tempfile._name_sequence.rng.setstate(states[2])
    uuid._node = node
def lambda_handler(event, context):
    return {"random": random.random(), "gauss": random.gauss(0, 1), "own": own.random(), "temporary": tempfile.mktemp(),
        "node": uuid.getnode(), "choice": random.sample(range(10**9), 3)}
"""


class UniquenessTest(unittest.TestCase):
    def test_every_resume_draws_other_numbers(self):
        with RuntimeProcess.loaded(SAME_STATE) as runtime:
            turns = []
            for _ in range(3):
                runtime.quiesce()
                runtime.resume()
                turns.append(runtime.call())
            for name in turns[0]:
                self.assertEqual(len({str(turn[name]) for turn in turns}), 3, name)

    def test_threads_of_the_function_go_on_after_the_resume(self):
        text = """
import random, threading
turns = threading.Semaphore(0)
def spin():
    while True:
        random.random()
        turns.release()
threading.Thread(target=spin, daemon=True).start()
def lambda_handler(event, context):
    return [turns.acquire(timeout=20) for _ in range(100)]
"""
        with RuntimeProcess.loaded(text) as runtime:
            for _ in range(3):
                runtime.quiesce()
                runtime.resume()
                self.assertEqual(runtime.call(), [True] * 100)

    def test_draws_before_the_snapshot_are_told_with_their_place(self):
        text = """
import os, random, secrets, uuid
from random import random as draw
token = secrets.token_hex(4)
ident = uuid.uuid4()
number = draw() + random.randrange(10)
raw = os.urandom(16)
os.urandom(1) if False else None
def lambda_handler(event, context): return random.random()
"""
        with RuntimeProcess.loaded(text) as runtime:
            (warning,) = runtime.quiesce()
            self.assertEqual(warning.code, "FIRN_RANDOM_BEFORE_SNAPSHOT")
            for place in (
                "3 (os.urandom)",
                "4 (uuid.uuid4)",
                "5 (random.random)",
                "5 (random.Random.getrandbits)",
                "6 (os.urandom)",
            ):
                line, source = place.split(" ")
                self.assertIn(f"lambda_function.py:{int(line) + 1} {source}", warning.message)
            runtime.resume()
            runtime.call()
            self.assertEqual(runtime.quiesce(), [])
            runtime.resume()

    def test_who_draws_nothing_is_not_warned(self):
        text = """
import asyncio, logging, multiprocessing, random, secrets, ssl, tempfile, uuid
random.Random()
tempfile.mktemp()
def lambda_handler(event, context): pass
"""
        with RuntimeProcess.loaded(text) as runtime:
            self.assertEqual(runtime.quiesce(), [])

    def test_what_rehearsals_draw_anew_is_no_cause_for_a_warning(self):
        for form in ("def", "async def"):
            text = f"""
import random, uuid
cache = []
{form} lambda_handler(event, context):
    for _ in range(1000): random.random()
    if not cache:
        cache.append(uuid.uuid4())
    return context.rehearsal
"""
            with RuntimeProcess.loaded(text) as runtime:
                for _ in range(3):
                    self.assertIs(runtime.invoke({}, rehearsal=True, request_id="sample").json, True)
                (warning,) = runtime.quiesce()
                self.assertIn("lambda_function.py:7 (uuid.uuid4)", warning.message)
                self.assertNotIn("random.random", warning.message)
                runtime.resume()

    def test_after_the_snapshot_the_functions_are_python_s_own(self):
        text = """
import os, random, uuid
before = [os.urandom, uuid.uuid4, random.random, random.getrandbits]
def lambda_handler(event, context):
    now = [os.urandom, uuid.uuid4, random.random, random.getrandbits]
    return [sum(a is b for a, b in zip(before, now)), "random" in vars(random.Random), [one.__name__ for one in now]]
"""
        with RuntimeProcess.loaded(text) as runtime:
            runtime.quiesce()
            runtime.resume()
            self.assertEqual(runtime.call(), [0, False, ["urandom", "uuid4", "random", "getrandbits"]])


class ChildProcessTest(unittest.TestCase):
    def test_a_forked_process_draws_anew_when_the_generation_changes(self):
        from firn_runtime.uniqueness import child_process

        with tempfile.TemporaryDirectory() as folder:
            generation = Path(folder) / "generation"
            generation.write_bytes(bytes(4))
            reader, writer = os.pipe()
            go_reader, go_writer = os.pipe()
            pid = os.fork()
            if pid == 0:
                try:
                    import random

                    child_process._follow(str(generation))
                    state = random.getstate()
                    kept = random.random()
                    random.setstate(state)
                    same = random.random() == kept
                    random.setstate(state)
                    os.write(writer, b"?")
                    os.read(go_reader, 1)
                    other = random.choice(range(10**12)), random.random() != kept
                    random.setstate(state)
                    again = random.random() == kept
                    mapped = str(generation) in Path("/proc/self/maps").read_text()
                    os.write(writer, repr([same, other[1], again, mapped]).encode())
                finally:
                    os._exit(0)
            self.assertEqual(os.read(reader, 1), b"?")
            generation.write_bytes(b"\1\0\0\0")
            os.write(go_writer, b"!")
            self.assertEqual(os.read(reader, 100), b"[True, True, True, True]")
            os.waitpid(pid, 0)
            for descriptor in (reader, writer, go_reader, go_writer):
                os.close(descriptor)


class OpensslTest(unittest.TestCase):
    def test_every_libcrypto_of_the_process_is_found(self):
        import ssl

        from firn_runtime.uniqueness.openssl import loaded_libraries, openssl_steps

        self.assertTrue(any("libcrypto.so" in path for path in loaded_libraries()))
        steps = list(openssl_steps(os.urandom(128)))
        self.assertGreaterEqual(len(steps), 1)
        for function, *arguments in steps:
            function(*arguments)
        self.assertEqual(len(ssl.RAND_bytes(8)), 8)


if __name__ == "__main__":
    unittest.main()
