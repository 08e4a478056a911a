import unittest

from lambda_function import lambda_handler


class HelloTest(unittest.TestCase):
    def test_greets_whom_the_event_or_the_query_names(self):
        self.assertEqual(lambda_handler({}, None), {"greeting": "Hello, world!"})
        self.assertEqual(lambda_handler({"name": "firn"}, None), {"greeting": "Hello, firn!"})
        self.assertEqual(lambda_handler({"queryStringParameters": {"name": "ice"}}, None), {"greeting": "Hello, ice!"})

    def test_shows_random_values_and_a_count_when_asked_for(self):
        first, second = (lambda_handler({"show": "random"}, None) for _ in range(2))
        for source in ("random", "uuid1", "uuid4", "secret", "tls"):
            self.assertNotEqual(first[source], second[source])
        self.assertEqual(second["invocations"], first["invocations"] + 1)


if __name__ == "__main__":
    unittest.main()
