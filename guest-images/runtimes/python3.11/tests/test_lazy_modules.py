import unittest

from runtime_process import RuntimeProcess


class LazyModulesTest(unittest.TestCase):
    def test_what_is_imported_in_a_request_was_compiled_before_the_snapshot(self):
        files = {
            "lambda_function.py": """
import pkg
def lambda_handler(event, context):
    import late
    from pkg import below
    return [late.name, late.inner(), below.name, below.__file__.endswith("/pkg/below.py")]
""",
            "late.py": "name = 'late'\ndef inner():\n    import later\n    return later.name",
            "later.py": "name = 'later'",
            "pkg/__init__.py": "",
            "pkg/below.py": "from . import beside\nfrom .deep.er import thing\nname = beside.name + thing",
            "pkg/beside.py": "name = 'beside'",
            "pkg/deep/__init__.py": "",
            "pkg/deep/er.py": "thing = ' thing'",
            "broken.py": "def (",
            "unused.py": "",
        }
        with RuntimeProcess(files) as runtime:
            runtime.load()
            runtime.next("function_ready")
            runtime.quiesce()
            # Their text is not read any more: only names count from here on.
            for name in ("late", "later", "pkg/below", "pkg/beside", "pkg/deep/__init__", "pkg/deep/er"):
                (runtime.root / f"{name}.py").write_text("raise ImportError('read again')")
            runtime.resume()
            self.assertEqual(runtime.call(), ["late", "later", "beside thing", True])

    def test_a_module_that_cannot_be_compiled_is_an_error_of_who_imports_it(self):
        files = {
            "lambda_function.py": "def lambda_handler(event, context):\n    import broken",
            "broken.py": "def (",
        }
        with RuntimeProcess(files) as runtime:
            runtime.load()
            runtime.next("function_ready")
            runtime.quiesce()
            runtime.resume()
            self.assertEqual(runtime.invoke().json["errorType"], "SyntaxError")


if __name__ == "__main__":
    unittest.main()
