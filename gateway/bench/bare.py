"""The yardstick: a bare Starlette endpoint that reads the body and answers, on uvicorn with httptools and uvloop.

`python -m gateway.bench.bare PORT`
"""

import sys

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


async def take(request: Request) -> Response:
    """Read the body, answer as much as the gateway answers."""
    await request.body()
    return Response(b'{"id": "evt_00000000000000000000", "duplicate": false}', media_type="application/json")


app = Starlette(routes=[Route("/webhooks/{source}", take, methods=["POST"])])


if __name__ == "__main__":
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        http="httptools",
        loop="uvloop",
        ws="none",
        lifespan="off",
        access_log=False,
        log_level="warning",
        timeout_keep_alive=75,  # as the receiver: the load keeps idle connections
    )
