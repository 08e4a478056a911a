from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route


@asynccontextmanager
async def lifespan(app):
    yield {"started": "yes"}


async def home(request):
    return JSONResponse({"started": request.state.started, "query": dict(request.query_params), "body": (await request.body()).decode()})


async def parts(request):
    async def each():
        for number in range(3):
            yield f"part {number}\n"

    return StreamingResponse(each(), media_type="text/plain")


app = Starlette(routes=[Route("/", home, methods=["GET", "POST"]), Route("/parts", parts)], lifespan=lifespan)
