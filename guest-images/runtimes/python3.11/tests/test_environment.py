import unittest

from runtime_process import RuntimeProcess


class EnvironmentTest(unittest.TestCase):
    def test_a_function_finds_the_variables_of_aws_lambda(self):
        text = "import os, sys\nseen = dict(os.environ)\ndef lambda_handler(event, context): return [seen, os.getcwd(), sys.path[0]]"
        with RuntimeProcess.loaded(text, environment={"AWS_REGION": "eu-west-1", "MINE": "ü"}) as runtime:
            seen, folder, first = runtime.call()
            expected = {
                **{"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "eu-west-1", "AWS_EXECUTION_ENV": "AWS_Lambda_python3.11"},
                **{
                    "AWS_LAMBDA_FUNCTION_NAME": "example",
                    "AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start",
                    "MINE": "ü",
                    "TZ": ":UTC",
                },
                **{"_HANDLER": "lambda_function.lambda_handler", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128"},
            }
            self.assertEqual({name: seen.get(name) for name in expected}, expected)
            self.assertEqual(seen["LAMBDA_TASK_ROOT"], folder)
            self.assertEqual(first, folder)

    def test_variables_of_a_clone_are_there_after_the_restore(self):
        text = """
import os, time
early = os.environ.get("SECRET")
os.getenv("NEVER")
def lambda_handler(event, context): return [early, os.environ["SECRET"], time.tzname[0], os.environ["AWS_LAMBDA_LOG_STREAM_NAME"]]
"""
        with RuntimeProcess.loaded(text) as runtime:
            names = set()
            for secret in ("one", "two"):
                runtime.quiesce()
                runtime.resume(SECRET=secret, TZ="Europe/Berlin")
                early, late, zone, stream = runtime.call()
                self.assertEqual([early, late, zone], [None, secret, "CET"])
                names.add(stream)
            self.assertEqual(len(names), 2)
            runtime.until_logged("Warning: SECRET: read while the module was imported")
            self.assertNotIn("NEVER", runtime.log)
            from firn_runtime.wire.messages import SetEnvironment

            runtime.send(set_environment=SetEnvironment({"SECRET": "three"}))
            self.assertEqual(runtime.call()[1], "three")

    def test_what_python_reads_when_it_starts_is_refused_by_name(self):
        with RuntimeProcess({"lambda_function.py": ""}) as runtime:
            runtime.load(environment={"PYTHONHASHSEED": "0", "PYTHONPATH": "/x"})
            self.assertIn("PYTHONHASHSEED would have no effect", runtime.next("function_failed").message)

    def test_python_path_is_heeded(self):
        files = {
            "lambda_function.py": "import vendored\ndef lambda_handler(event, context): return vendored.name",
            "lib/vendored.py": "name = 'v'",
        }
        with RuntimeProcess(files) as runtime:
            runtime.load(environment={"PYTHONPATH": str(runtime.root / "lib")})
            runtime.next("function_ready")
            self.assertEqual(runtime.call(), "v")

    def test_a_function_brings_modules_of_its_own_with_the_names_of_the_runtimes(self):
        files = {
            "lambda_function.py": "import google.protobuf, utils, snapshot_restore_py\n"
            "snapshot_restore_py.register_after_restore(print, 'hook')\n"
            "def lambda_handler(event, context): return [google.protobuf.name, utils.name]",
            "google/protobuf/__init__.py": "name = 'own'",
            "utils.py": "name = 'own too'",
            "snapshot_restore_py/__init__.py": "raise ImportError('never')",
        }
        with RuntimeProcess(files) as runtime:
            runtime.load()
            runtime.next("function_ready")
            runtime.quiesce()
            runtime.resume()
            self.assertEqual(runtime.call(), ["own", "own too"])
            runtime.until_logged("hook\n")


if __name__ == "__main__":
    unittest.main()
