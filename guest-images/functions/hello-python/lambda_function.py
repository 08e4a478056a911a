"""Greets."""

import random
import secrets
import ssl
import uuid
from datetime import UTC, datetime

imported_at = datetime.now(UTC).isoformat()
invocations = 0


def lambda_handler(event, context):
    """Greets whom the event or the query names. `"show": "random"` adds what differs in every clone of the snapshot."""
    global invocations
    invocations += 1
    asked = event.get("queryStringParameters") or event
    greeting = {"greeting": f"Hello, {asked.get('name', 'world')}!"}
    if asked.get("show") != "random":
        return greeting
    return {
        **greeting,
        "random": random.random(),
        "uuid1": str(uuid.uuid1()),
        "uuid4": str(uuid.uuid4()),
        "secret": secrets.token_hex(16),
        "tls": ssl.RAND_bytes(16).hex(),
        "date": datetime.now(UTC).isoformat(),
        "importedAt": imported_at,
        "invocations": invocations,
    }
