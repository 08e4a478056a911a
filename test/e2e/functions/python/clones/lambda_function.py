"""Shows what must differ in every clone."""

import os
import random
import secrets
import ssl
import tempfile
import threading
import uuid

from firn_guest import after_restore


def fork_child():
    """Forks a process that answers each byte with random numbers; gives the ends of its pipes."""
    asked, ask = os.pipe()
    answer, answered = os.pipe()
    if os.fork() == 0:
        os.close(ask)
        while os.read(asked, 1):
            os.write(answered, f"{random.random()} {ssl.RAND_bytes(8).hex()} {random.choice(range(10**12))}".encode())
        os._exit(0)
    os.close(asked)
    os.close(answered)
    return ask, answer


ask, answer = fork_child()
own = random.Random(7)
kept = random.getrandbits(64)
drawn_by_thread = []
enough = threading.Event()
restored = 0
uuid.uuid1()


def keep_drawing():
    # Until the first request is answered: an idle clone must not keep its processor busy.
    while not enough.wait(0.005):
        drawn_by_thread.append(random.random())
        del drawn_by_thread[:-64]


threading.Thread(target=keep_drawing, daemon=True).start()


@after_restore
def note_restore():
    global restored
    restored += 1
    # What it draws after the snapshot alone.
    drawn_by_thread.clear()


def lambda_handler(event, context):
    enough.set()
    os.write(ask, b"?")
    child_random, child_tls, child_choice = os.read(answer, 100).decode().split()
    return {
        "unique": {
            "random": random.random(),
            "gauss": random.gauss(0, 1),
            "own": own.random(),
            "uuid1": str(uuid.uuid1()),
            "node": uuid.getnode(),
            "uuid4": str(uuid.uuid4()),
            "secret": secrets.token_hex(),
            "tls": ssl.RAND_bytes(16).hex(),
            "temporary": tempfile.mktemp(),
            "thread": drawn_by_thread[0] if drawn_by_thread else random.random(),
            "childRandom": child_random,
            "childTls": child_tls,
            "childChoice": child_choice,
            "log": context.log_stream_name,
        },
        "kept": kept,
        "restored": restored,
    }
