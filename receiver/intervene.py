"""What a person may decide: to stop a message, what became of an uncertain one, who is written to, what was
read."""

from datetime import UTC, datetime
from uuid import UUID

from uuid_utils.compat import uuid7

from models.errors import SPECIFICITY, ErrorClass
from models.status import Status, bits
from receiver import db, phone, redactions
from receiver.correlate import key
from receiver.problems import Code, Problem, invalid
from receiver.rows import ConsentRow, EventRow
from receiver.sql import qualified

_ERRORS = {Status.CANCELED: ErrorClass.CANCELED, Status.FAILED: ErrorClass.UNKNOWN}


class Interventions:
    def __init__(self, database_url: str, schema: str) -> None:
        self._url, self._schema = database_url, schema
        self._cancel = qualified("SELECT postback.cancel($1)", schema)
        self._decide = qualified("SELECT postback.decide($1)", schema)
        self._opt = qualified("SELECT postback.opt($1)", schema)
        self._mark_read = qualified("SELECT postback.mark_read($1, $2)", schema)
        self._redact = qualified("SELECT postback.redact($1, $2)", schema)

    async def cancel(self, message_id: UUID, *, channel: str, provider: str) -> None:
        """Stops a message that is not yet with its carrier. Raises ``Problem`` when it is."""
        event = decision(message_id, channel, provider, Status.CANCELED, "api")
        if not await self._run(self._cancel, event):
            raise Problem(Code.NOT_CANCELABLE, "The message is with its carrier, or its story has ended.")

    async def decide(self, message_id: UUID, status: Status, *, channel: str, provider: str) -> None:
        """Settles an uncertain message as *status*. Raises ``Problem`` when it is not uncertain."""
        event = decision(message_id, channel, provider, status, "operator")
        if not await self._run(self._decide, event):
            raise Problem(Code.NOT_UNCERTAIN, "The message is not uncertain; what is known of it stands.")

    async def opt(self, said: ConsentRow) -> bool:
        """Opts a contact out or in; whether that changed anything. What waits for them is stopped."""
        return await self._run(self._opt, said)

    async def mark_read(self, conversation_id: UUID, up_to: UUID | None) -> None:
        """Marks a conversation as read up to the message *up_to*, None for all of it. Raises ``Problem``
        where that is no message of it."""
        async with db.connected(self._url) as connection:
            if not await connection.fetchval(self._mark_read, conversation_id, up_to, timeout=5):
                raise invalid("/up_to", "is no message of this conversation")

    async def redact(self, message_id: UUID, contact: str | None) -> list[bytes]:
        """Takes words, files, raw requests and the number out of a message; the SHA-256 of the files that
        nothing names any more. Raises ``Problem`` while it waits to be sent.

        They may still be told until `forgotten` returns.
        """
        async with db.connected(self._url) as connection:
            masked = phone.redacted(contact) if contact else None
            files: list[bytes] | None = await connection.fetchval(
                self._redact, message_id, masked, timeout=10
            )
        if files is None:
            raise Problem(Code.NOT_CANCELABLE, "The message waits to be sent; cancel it first.")
        return files

    async def forgotten(self) -> None:
        """Returns once no process tells any more what is redacted by now. Raises ``TimeoutError``."""
        async with db.connected(self._url) as connection:
            await redactions.everywhere(connection, self._schema)

    async def _run(self, statement: str, given: EventRow | ConsentRow) -> bool:
        async with db.connected(self._url) as connection:
            return bool(await connection.fetchval(statement, given, timeout=5))


def decision(
    message_id: UUID, channel: str, provider: str, status: Status, source: str, why: str | None = None
) -> EventRow:
    """Returns the event of a message that is decided without its carrier: *source* is who decides."""
    error = _ERRORS.get(status)
    return EventRow(
        id=uuid7(),
        key=key(source, status),
        type=f"message.{status}",
        channel=channel,
        provider=provider,
        source=source,
        received_at=datetime.now(UTC),
        status=status,
        bits=bits(status),
        attempt=0,
        provider_message=why,
        error_class=error,
        error_specificity=SPECIFICITY[error] if error else None,
        message_id=message_id,
    )
