"""Settlements as records of a spool's file: what a carrier answered, on disk while Postgres is away.

One settlement is one record, its body a JSON object of the settlement's fields. The record's checksum shows
that it came back as it was written.
"""

from dataclasses import asdict, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from uuid_utils.compat import uuid7

from models.errors import ErrorClass
from models.sends import Fate, Outcome
from models.status import Status
from receiver.outbox.settlement import Settlement
from receiver.rows import PayloadRow
from receiver.spool import Record

#: stands where a request's method does
METHOD = "SETTLE"


def written(settlement: Settlement) -> Record:
    """Returns the record of *settlement*."""
    alone = replace(settlement, outcome=replace(settlement.outcome, results={}))
    body = orjson.dumps(asdict(alone), default=str)  # asyncpg has a class of its own for ids
    return Record(
        PayloadRow(
            uuid7(), settlement.channel, "applied", None, METHOD, "", "{}", body, None, settlement.answered_at
        )
    )


def read(record: Record) -> Settlement:
    """Returns the settlement that *record* holds. Raises ``ValueError`` for one that holds none."""
    try:
        fields: dict[str, Any] = orjson.loads(record.payload.body)
        return Settlement(
            **{
                **fields,
                "id": UUID(fields["id"]),
                "submission_id": UUID(fields["submission_id"]),
                "outcome": _outcome(fields["outcome"]),
                "answered_at": datetime.fromisoformat(fields["answered_at"]),
            }
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"the record holds no settlement: {type(error).__name__}") from error


def _outcome(fields: dict[str, Any]) -> Outcome:
    return Outcome(
        **{
            **fields,
            "fate": Fate(fields["fate"]),
            "status": fields["status"] and Status(fields["status"]),
            "error": fields["error"] and ErrorClass(fields["error"]),
            "provider_message_ids": tuple(fields["provider_message_ids"]),
            # a version before this one has written none
            "warnings": tuple(fields.get("warnings", ())),
            **{name: _moment(fields.get(name)) for name in ("send_at", "expires_at", "occurred_at")},
        }
    )


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
