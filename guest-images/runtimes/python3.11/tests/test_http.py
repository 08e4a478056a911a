import base64
import unittest

from runtime_process import RuntimeProcess


class FunctionUrlTest(unittest.TestCase):
    def test_a_request_is_an_event_of_a_function_url(self):
        with RuntimeProcess.loaded("def lambda_handler(event, context): return event") as runtime:
            headers = {
                "Cookie": "a=1; b=2",
                "User-Agent": "u",
                "X-Forwarded-For": "1.1.1.1, 2.2.2.2",
                "Host": "f.example",
                "X-A": "1",
            }
            event = runtime.request("POST", "http://f.example/a%20b/c?x=1&y=%20&x=2", "ä".encode(), headers).json
            expected = {
                "version": "2.0",
                "rawPath": "/a%20b/c",
                "rawQueryString": "x=1&y=%20&x=2",
                "cookies": ["a=1", "b=2"],
                "queryStringParameters": {"x": "1,2", "y": " "},
                "body": "ä",
                "isBase64Encoded": False,
                "headers": {"user-agent": "u", "x-forwarded-for": "1.1.1.1, 2.2.2.2", "host": "f.example", "x-a": "1"},
            }
            self.assertEqual({name: event[name] for name in expected}, expected)
            http = event["requestContext"]["http"]
            self.assertEqual(http, {"method": "POST", "path": "/a b/c", "protocol": "HTTP/1.1", "sourceIp": "2.2.2.2", "userAgent": "u"})
            binary = runtime.request("PUT", "/", b"\xff").json
            self.assertEqual([binary["body"], binary["isBase64Encoded"]], [base64.b64encode(b"\xff").decode(), True])
            self.assertNotIn("body", runtime.request("GET", "/").json)

    def test_a_result_is_an_answer(self):
        text = """
from http import HTTPStatus
import base64
def lambda_handler(event, context):
    return {
        "/full": {"statusCode": 201, "headers": {"X-A": 1, "X-B": None}, "cookies": ["c=1", "d=2"], "body": "text"},
        "/bytes": {"statusCode": "404", "body": base64.b64encode(b"\\xff").decode(), "isBase64Encoded": True},
        "/empty": {"statusCode": HTTPStatus.NO_CONTENT},
        "/json": {"statusCode": 200, "body": {"a": 1}},
        "/text": "ä",
        "/list": [1],
        "/status": {"statusCode": 99},
        "/header": {"statusCode": 200, "headers": {"x": "a\\nb"}},
        "/base64": {"statusCode": 200, "body": "?", "isBase64Encoded": True},
    }[event["rawPath"]]
"""
        with RuntimeProcess.loaded(text) as runtime:
            full = runtime.request("GET", "/full")
            self.assertEqual((full.status, full.payload), (201, b"text"))
            pairs = [("x-a", "1"), ("set-cookie", "c=1"), ("set-cookie", "d=2"), ("content-type", "application/json")]
            self.assertEqual(full.headers, pairs)
            self.assertEqual((runtime.request("GET", "/bytes").status, runtime.request("GET", "/bytes").payload), (404, b"\xff"))
            self.assertEqual((runtime.request("GET", "/empty").status, runtime.request("GET", "/empty").headers), (204, []))
            self.assertEqual(runtime.request("GET", "/json").json, {"a": 1})
            self.assertEqual([runtime.request("GET", path).text for path in ("/text", "/list")], ["ä", "[1]"])
            head = runtime.request("HEAD", "/text")
            self.assertEqual((head.payload, head.headers[-1]), (b"", ("content-length", "2")))
            for path, said in (("/status", "statusCode 99"), ("/header", "HTTP cannot carry"), ("/base64", "no base64")):
                self.assertIn(said, runtime.request("GET", path).json["errorMessage"])


class WsgiTest(unittest.TestCase):
    TEXT = """
class App:
    def __call__(self, environ, start_response):
        path = environ["PATH_INFO"]
        if path == "/fail":
            raise ValueError("no")
        if path == "/nothing":
            return []
        seen = environ.get("HTTP_X_SEEN", "")
        headers = [("Content-Type", "text/plain"), ("X-Query", environ["QUERY_STRING"]), ("X-Seen", seen)]
        write = start_response("200 OK", headers)
        write(b"written ")
        if path == "/parts":
            return self.parts()
        body = environ["wsgi.input"].read()
        return [environ["REQUEST_METHOD"].encode(), b" ", path.encode("latin-1"), b" ", body]
    def parts(self):
        try:
            yield b"a" * 300_000
            yield b""
            yield b"b"
            if failing: raise RuntimeError("in the middle")
        finally:
            print("closed")
app = App()
failing = False
def fail_later(event, context):
    pass
"""

    def test_an_application_is_called_as_it_is(self):
        with RuntimeProcess.loaded(self.TEXT) as runtime:
            answer = runtime.request("POST", "/%C3%A4?q=1", b"body", {"X-Seen": "yes"})
            self.assertEqual((answer.status, answer.payload), (200, "written POST /ä body".encode()))
            self.assertEqual(answer.headers, [("content-type", "text/plain"), ("x-query", "q=1"), ("x-seen", "yes")])
            self.assertEqual(runtime.request("GET", "/parts").payload, b"written " + b"a" * 300_000 + b"b")
            runtime.until_logged("closed\n")
            self.assertEqual(runtime.request("GET", "/fail").json["errorType"], "ValueError")
            self.assertIn("start_response", runtime.request("GET", "/nothing").json["errorMessage"])
            self.assertEqual(runtime.request("HEAD", "/parts").payload, b"")

    def test_an_event_is_a_post(self):
        with RuntimeProcess.loaded(self.TEXT) as runtime:
            self.assertEqual(runtime.invoke({"a": 1}).text, 'written POST / {"a": 1}')

    def test_an_answer_that_breaks_off_is_told_so(self):
        with RuntimeProcess.loaded(self.TEXT.replace("failing = False", "failing = True")) as runtime:
            answer = runtime.request("GET", "/parts")
            self.assertEqual((answer.error, answer.broken), ("Unhandled", ("RuntimeError", "in the middle")))
            self.assertEqual(answer.payload, b"written " + b"a" * 300_000 + b"b")
            runtime.until_logged("RuntimeError: in the middle")


class AsgiTest(unittest.TestCase):
    TEXT = """
import asyncio
events = []
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        scope["state"]["value"] = "kept"
        events.append("started")
        await send({"type": "lifespan.startup.complete"})
        await receive()
        return
    path = scope["path"]
    message = await receive()
    if path == "/fail":
        raise ValueError("no")
    if path == "/nothing":
        return
    headers = [(b"Content-Type", b"text/plain"), (b"x-query", scope["query_string"])]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    if path == "/parts":
        await send({"type": "http.response.body", "body": b"a" * 300_000, "more_body": True})
        await asyncio.sleep(0)
        await send({"type": "http.response.body", "body": b"b"})
    else:
        text = f"{scope['method']} {path} {scope['state']['value']} {events} ".encode()
        await send({"type": "http.response.body", "body": text + message["body"]})
        assert (await receive())["type"] == "http.disconnect"
        print("afterwards")
"""

    def test_an_application_is_called_as_it_is_and_knows_its_lifespan(self):
        with RuntimeProcess.loaded(self.TEXT) as runtime:
            runtime.quiesce()
            runtime.resume()
            answer = runtime.request("POST", "/%C3%A4?q=1", b"body")
            self.assertEqual(answer.text, "POST /ä kept ['started'] body")
            self.assertEqual(answer.headers, [("content-type", "text/plain"), ("x-query", "q=1")])
            runtime.until_logged("afterwards\n")
            self.assertEqual(runtime.request("GET", "/parts").payload, b"a" * 300_000 + b"b")
            self.assertEqual(runtime.request("GET", "/fail").json["errorType"], "ValueError")
            self.assertIn("without an answer", runtime.request("GET", "/nothing").json["errorMessage"])
            self.assertIn("WebSockets", runtime.request("GET", "/", headers={"Upgrade": "websocket"}).json["errorMessage"])

    def test_the_end_of_an_answer_comes_before_the_disconnect(self):
        text = """
import asyncio
async def app(scope, receive, send):
    assert scope["type"] == "http"
    await receive()
    async def answer():
        await send({"type": "http.response.start", "status": 200})
        for number in range(3):
            await send({"type": "http.response.body", "body": b"part ", "more_body": True})
        await send({"type": "http.response.body", "body": b"end"})
    async def listen():
        while (await receive())["type"] != "http.disconnect": pass
    tasks = [asyncio.ensure_future(answer()), asyncio.ensure_future(listen())]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks: task.cancel()
"""
        with RuntimeProcess.loaded(text) as runtime:
            self.assertEqual(runtime.request("GET", "/").text, "part part part end")

    def test_an_endless_answer_ends_when_it_is_cancelled(self):
        endless = """
import asyncio
async def app(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200})
    try:
        while True:
            await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
    finally:
        print("told")
"""
        endless_wsgi = """
def parts():
    try:
        while True: yield b"x" * 65536
    finally:
        print("told")
def app(environ, start_response):
    start_response("200 OK", [])
    return parts()
"""
        for text in (endless, endless_wsgi):
            with RuntimeProcess.loaded(text) as runtime:
                id = runtime.begin(kind="http", method="GET", url="/", payload=b"")
                while runtime.report().payload_chunk is None:
                    pass
                runtime.cancel(id)
                result = runtime.results(1)[id]
                self.assertEqual(result.broken[0], "AbortError")
                runtime.until_logged("told")
                self.assertEqual(runtime.request("HEAD", "/").payload, b"")

    def test_an_application_without_a_lifespan_is_served_too(self):
        text = """
async def app(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 204})
    await send({"type": "http.response.body"})
"""
        with RuntimeProcess.loaded(text) as runtime:
            self.assertEqual(runtime.request("GET", "/").status, 204)

    def test_an_application_that_fails_to_start_fails_the_deploy(self):
        text = """
async def app(scope, receive, send):
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no database"})
"""
        with RuntimeProcess({"main.py": text}) as runtime:
            runtime.load()
            self.assertIn("no database", runtime.next("function_failed").message)


if __name__ == "__main__":
    unittest.main()
