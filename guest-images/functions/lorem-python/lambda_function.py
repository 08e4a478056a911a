"""Makes filler text."""

import random

WORDS = (
    "lorem ipsum dolor sit amet consectetur adipiscing elit sed do eiusmod tempor incididunt ut labore et dolore magna aliqua "
    "enim ad minim veniam quis nostrud exercitation ullamco laboris nisi aliquip ex ea commodo consequat duis aute irure in "
    "reprehenderit voluptate velit esse cillum eu fugiat nulla pariatur excepteur sint occaecat cupidatat non proident sunt "
    "culpa qui officia deserunt mollit anim id est laborum"
).split()

MOST = 1000
"""Most paragraphs of one answer."""


def lambda_handler(event, context):
    """Answers with `paragraphs` of text, from 1 to 1000, 1 if absent. The same `seed` gives the same text as the function in JavaScript."""
    paragraphs = event.get("paragraphs", 1)
    if type(paragraphs) is not int or not 1 <= paragraphs <= MOST:
        raise ValueError(f'"paragraphs" must be a whole number from 1 to {MOST}.')
    below = random_numbers(event.get("seed", random.getrandbits(32)))
    text = "\n\n".join(paragraph(below) for _ in range(paragraphs))
    return {"text": text, "words": len(text.split())}


def paragraph(below):
    return " ".join(sentence(below) for _ in range(3 + below(4)))


def sentence(below):
    text = " ".join(WORDS[below(len(WORDS))] for _ in range(5 + below(10)))
    return f"{text.capitalize()}."


def random_numbers(seed):
    """Whole numbers below a limit, the same ones for the same seed (xorshift of 32 bits, G. Marsaglia 2003)."""
    state = seed & 0xFFFFFFFF or 1

    def below(limit):
        nonlocal state
        state ^= state << 13 & 0xFFFFFFFF
        state ^= state >> 17
        state ^= state << 5 & 0xFFFFFFFF
        return state % limit

    return below
