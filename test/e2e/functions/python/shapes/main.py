"""Handlers of several shapes, failing ones among them."""

import asyncio
import sys


async def later(event, context):
    await asyncio.sleep(0.01)
    return {"rehearsal": context.rehearsal, "event": event}


def fails(event, context):
    print("about to fail")
    raise LookupError("nothing here")


def handler(event, context):
    match event.get("do"):
        case "fail":
            return fails(event, context)
        case "exit":
            sys.exit(3)
        case "set":
            return {1}
        case "sleep":
            import time

            time.sleep(60)
    return event
