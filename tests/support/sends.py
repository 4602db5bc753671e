"""A caller of the API who does what its answers say, and what came of the calls."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import httpx

from tests.support.installation import THEM
from tests.support.patience import PATIENCE
from tests.support.processes import parent

#: seconds that Postgres waits in the middle of taking a send: longer than a caller is made to wait
STALLED = 2.5
#: by name, where: before the check of the deadline, or after it and just before the commit
STALLS = {"inside": "BEFORE INSERT", "committing": "AFTER INSERT"}


@dataclass
class Caller:
    """Sends one text to one person. *codes* are those of the problems that it was answered with."""

    api: httpx.AsyncClient
    text: str
    keyed: bool
    codes: list[str] = field(default_factory=list)
    #: the messages that an answer without a key has named
    named: list[str] = field(default_factory=list)

    async def call(self) -> httpx.Response:
        headers = {"Idempotency-Key": f"key of {self.text}"} if self.keyed else {}
        answer = await self.api.post("/v1/messages", json={"to": THEM, "text": self.text}, headers=headers)
        if answer.status_code != 202:
            problem = answer.json()
            self.codes.append(problem["code"])
            self.named = problem.get("message_ids", [])
        return answer

    async def insist(self, within: float = PATIENCE) -> None:
        """Goes on as the answers say, until the message is known to be taken. Raises ``TimeoutError``."""
        async with asyncio.timeout(within):
            while not (await self._taken()):
                if (await self.call()).status_code == 202:
                    return
                await asyncio.sleep(0.1)

    async def _taken(self) -> bool:
        """Whether what the last answer left open was taken after all; asked until that is certain."""
        while self.named:
            answer = await self.api.post("/v1/messages/lookup", json={"ids": self.named})
            if answer.status_code == 200:
                named, self.named = self.named, []
                missing: list[str] = answer.json()["missing"]["ids"]
                return missing != named
            await asyncio.sleep(0.1)
        return False


async def postmaster(database_url: str) -> int:
    """The server's process, which has started all others of it."""
    connection = await asyncpg.connect(database_url)
    try:
        return parent(connection.get_server_pid())
    finally:
        await connection.close()


async def stored(database_url: str, text: str) -> int:
    """The messages that were made of *text*."""
    query = "SELECT count(*) FROM postback.message_body WHERE text = $1"
    number: int = await _fetched(database_url, query, text)
    return number


async def stall(database_url: str, where: str) -> None:
    """Has Postgres wait in every call that takes a send from now on; *where* is one of `STALLS`."""
    constraint, deferred = (
        ("CONSTRAINT", "DEFERRABLE INITIALLY DEFERRED") if where == "committing" else ("", "")
    )
    await _fetched(
        database_url,
        f"""CREATE FUNCTION stall() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN PERFORM pg_sleep({STALLED}); RETURN NEW; END'""",
    )
    await _fetched(
        database_url,
        f"CREATE {constraint} TRIGGER stall {STALLS[where]} ON postback.outbox {deferred} "
        "FOR EACH ROW EXECUTE FUNCTION stall()",
    )


async def go_on(database_url: str) -> None:
    """Ends what `stall` began; returns when nobody is in it any more."""
    await _fetched(database_url, "DROP TRIGGER stall ON postback.outbox")


@asynccontextmanager
async def silent_standby(database_url: str) -> AsyncIterator[None]:
    """Every commit waits for a standby that is not there; those that wait are done at the end."""
    await _standby(database_url, "nobody")
    try:
        yield
    finally:
        await _standby(database_url, "")


async def _standby(database_url: str, name: str) -> None:
    await _fetched(database_url, f"ALTER SYSTEM SET synchronous_standby_names = '{name}'")
    await _fetched(database_url, "SELECT pg_reload_conf()")
    async with asyncio.timeout(PATIENCE):
        while await _fetched(database_url, "SHOW synchronous_standby_names") != name:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def _fetched(database_url: str, statement: str, *values: Any) -> Any:
    connection = await asyncpg.connect(database_url)
    try:
        return await connection.fetchval(statement, *values)
    finally:
        await connection.close()
