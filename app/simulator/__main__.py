"""`python -m app.simulator`: the far ends as a process, which prints its address on one line."""

from __future__ import annotations

import argparse
import socket

import uvicorn

from app.simulator.faults import Bench
from app.simulator.server import create_simulator


def main() -> None:
    """Serve on loopback until told to stop."""
    parser = argparse.ArgumentParser(prog="python -m app.simulator", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds that each call takes")
    told = parser.parse_args()
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", told.port))
        print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)  # noqa: T201  # what it is asked for
        config = uvicorn.Config(
            create_simulator(Bench(told.delay)), log_level="warning", access_log=False, lifespan="off"
        )
        uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
