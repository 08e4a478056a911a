import unittest

from lambda_function import lambda_handler


class LoremTest(unittest.TestCase):
    def test_the_same_seed_gives_the_same_text(self):
        first = lambda_handler({"seed": 7}, None)
        self.assertEqual(first, lambda_handler({"seed": 7}, None))
        # As the function in JavaScript.
        self.assertEqual(first["words"], 57)
        self.assertRegex(first["text"], r"^Velit incididunt ut .* deserunt\.$")
        self.assertEqual(lambda_handler({"paragraphs": 3}, None)["text"].count("\n\n"), 2)

    def test_other_numbers_of_paragraphs_are_refused(self):
        for paragraphs in (0, 1001, 1.5, "2", True):
            with self.assertRaisesRegex(ValueError, "from 1 to 1000"):
                lambda_handler({"paragraphs": paragraphs}, None)


if __name__ == "__main__":
    unittest.main()
