"""The Python runtime of Firn's guests: it loads one function, brings it to its snapshot, and answers its invocations."""
