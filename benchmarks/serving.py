"""Serves a contender on uvicorn as it comes: ``python -m benchmarks.serving MODULE URL PORT``."""

import asyncio
import importlib
import socket
import sys

import uvicorn
import uvloop

from receiver.serve import BACKLOG, bind


async def serve(module: str, database_url: str, server: socket.socket) -> None:
    """*module* is one of this package, with a function ``create(database_url)``."""
    app = importlib.import_module(f"benchmarks.{module}").create(database_url)
    config = uvicorn.Config(
        app, http="httptools", ws="none", lifespan="on", access_log=False, log_config=None,
        server_header=False, date_header=False, timeout_keep_alive=75, proxy_headers=False, backlog=BACKLOG,
    )  # fmt: skip
    running = uvicorn.Server(config)
    host, port = server.getsockname()
    server.listen(BACKLOG)
    print(f"ready http://{host}:{port}", flush=True)  # connections wait in the backlog until it accepts
    await running.serve(sockets=[server])


def main() -> None:
    module, database_url, port = sys.argv[1:]
    server = bind("127.0.0.1", int(port), shared=True)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(module, database_url, server))


if __name__ == "__main__":
    main()
