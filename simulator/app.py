"""The practice carriers as one Starlette application, and a server for it."""

from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.middleware import Middleware

from simulator.accounts import Account
from simulator.cellcast import Cellcast
from simulator.cellcast_v1 import CellcastV1
from simulator.control import Control
from simulator.door import Door, Problem, problem
from simulator.practice import Carrier, Practice
from simulator.server import Server, config, listener
from simulator.sinch_mms import SinchMms
from simulator.sinch_sms import SinchSms
from simulator.swift import Swift
from simulator.voicetel import VoiceTel

__all__ = ["Account", "create", "serve"]

#: a carrier's second lasts 10 ms: five minutes between two tries become three seconds
PACE = 0.01

#: seconds that open requests have to end when the server stops
PATIENCE = 3

_CARRIERS: tuple[type[Carrier], ...] = (SinchMms, SinchSms, Swift, Cellcast, CellcastV1, VoiceTel)


def create(
    accounts: Sequence[Account], *, key: str, hosts: Collection[str] = (), pace: float = PACE
) -> Starlette:
    """The application, with *accounts* to begin with; more can be added while it runs.

    *key* is what the control routes ask for; *hosts* are the names that a ``Host`` may have beside those of
    loopback. *pace* is how many real seconds one of the carrier's seconds lasts. Callbacks end with the
    lifespan: without a server around it, enter ``app.router.lifespan_context(app)``. Raises ``ValueError``
    for an account whose provider has no practice carrier, or whose name is taken, and for an empty key.
    """
    if not key:
        raise ValueError("the control routes need a key")
    practice = Practice(accounts, pace, {carrier.name: carrier.retries for carrier in _CARRIERS})
    carriers: dict[str, Carrier] = {carrier.name: carrier(practice) for carrier in _CARRIERS}
    for account in practice.accounts:
        if account.provider not in carriers:
            raise ValueError(f'there is no practice carrier "{account.provider}"')

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        await practice.close()

    app = Starlette(
        routes=[
            *(route for carrier in carriers.values() for route in carrier.routes()),
            *Control(practice, carriers).routes(),
        ],
        middleware=[Middleware(Door, key=key, hosts=hosts)],
        exception_handlers={Problem: problem},
        lifespan=lifespan,
    )
    app.state.practice = practice
    return app


async def serve(
    accounts: Sequence[Account],
    host: str,
    port: int,
    *,
    key: str,
    pace: float = PACE,
    ready: Callable[[str], None] | None = None,
) -> None:
    """Serves until SIGTERM or SIGINT, then returns; *ready* gets the address once requests are accepted.

    Port 0 takes a free one. *key* is what the control routes ask for; a ``Host`` may also be *host*. Prints
    nothing. Raises ``OSError`` for an address that cannot be bound.
    """
    app = create(accounts, key=key, hosts=(host,), pace=pace)
    with listener(host, port) as sock:
        name = f"[{host}]" if ":" in host else host
        address = f"http://{name}:{sock.getsockname()[1]}"
        server = Server(
            config(app, patience=PATIENCE),
            signals=True,
            before_stop=app.state.practice.stop,
            accepting=lambda: ready(address) if ready else None,
        )
        await server.serve(sockets=[sock])
