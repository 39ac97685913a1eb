"""A small HTTP service: `python examples/async_service.py 8080`, then `curl --data-binary @face.jpg http://127.0.0.1:8080/read`.

A pipeline serves one thread, so one worker thread owns it; the event loop stays free meanwhile. Needs the `serve` extra.
"""

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
from aiohttp import web

from edge import InputError, Pipeline

WORKER: web.AppKey[ThreadPoolExecutor] = web.AppKey("worker", ThreadPoolExecutor)
PIPELINE: web.AppKey[Pipeline] = web.AppKey("pipeline", Pipeline)


async def read(request: web.Request) -> web.Response:
    """A JPEG or PNG in, a reading out."""
    data = await request.read()  # over `client_max_size`: 413
    loop = asyncio.get_running_loop()
    try:
        reading = await loop.run_in_executor(request.app[WORKER], work, request.app[PIPELINE], data)
    except (InputError, cv2.error):
        raise web.HTTPBadRequest(text="expected a JPEG or PNG picture") from None
    return web.json_response(reading.to_dict())


def work(pipeline: Pipeline, data: bytes):
    """Decode and read; on the worker thread."""
    return pipeline(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR))


async def life(app: web.Application):
    """Load the pipeline on its thread, and close it there."""
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(1) as worker:
        app[WORKER], app[PIPELINE] = worker, await loop.run_in_executor(worker, Pipeline.load)
        yield
        await loop.run_in_executor(worker, app[PIPELINE].close)


if __name__ == "__main__":
    service = web.Application(client_max_size=8 * 1024 * 1024)
    service.cleanup_ctx.append(life)
    service.router.add_post("/read", read)
    web.run_app(service, host="127.0.0.1", port=int(sys.argv[1]))
