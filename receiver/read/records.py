"""Rows of several tables put together: messages in full, with or without what happened to them.

*channels* are the only ones that the asker may see; None is all of them.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import TypeAlias
from uuid import UUID

from receiver.auth import Channels
from receiver.read import shapes, views
from receiver.reader import Row, Snapshot

#: a message with all that stands beside it, in one question: asking costs more than the answer
Record: TypeAlias = Row

# One message after the other, each by its key: of a join Postgres may think that it is cheaper to read a
# table, and a statement keeps the plan that it got while its tables were small.
_BY_IDS = """
    SELECT asked.id AS asked, m.*,
           b.text, b.subject, b.slides, b.fallback_text, b.send_at, b.expires_at, b.options,
           b.metadata_, b.redacted_at,
           a.error_class, a.error_code, a.error_message,
           (SELECT s.reference FROM postback.submission s WHERE s.message_id = m.id AND s.id >= m.id
            ORDER BY s.id DESC LIMIT 1) AS wire_reference,
           ARRAY(SELECT r.provider_message_id FROM postback.reference r WHERE r.message_id = m.id
                 AND NOT starts_with(r.provider_message_id, ':internal')) AS provider_message_ids,
           (SELECT jsonb_agg(to_jsonb(file) ORDER BY file.position)
            FROM (SELECT position, id, url, content_type, size, state, reason FROM postback.media
                  WHERE message_id = m.id AND state <> 'text' OFFSET 0) file) AS media
    FROM unnest($1::uuid[]) AS asked(id)
    LEFT JOIN LATERAL (SELECT message_id FROM postback.adopted WHERE id = asked.id OFFSET 0) adopted ON true
    CROSS JOIN LATERAL (SELECT * FROM postback.message WHERE id = coalesce(adopted.message_id, asked.id)
                        OFFSET 0) m
    LEFT JOIN LATERAL (SELECT * FROM postback.message_body WHERE message_id = m.id OFFSET 0) b ON true
    LEFT JOIN LATERAL (SELECT * FROM postback.attention WHERE message_id = m.id OFFSET 0) a ON true
    WHERE $2::text[] IS NULL OR m.channel = ANY($2)"""

# a call is named by what went out with it: its id, or the app's reference, by which messages are found anyway
_BY_CALLS = """
    SELECT asked.id AS asked, newest.message_id AS id FROM unnest($1::uuid[]) AS asked(id)
    CROSS JOIN LATERAL (
        SELECT s.message_id FROM postback.submission s JOIN postback.message m ON m.id = s.message_id
        WHERE s.id = asked.id AND ($2::text[] IS NULL OR m.channel = ANY($2))
        ORDER BY s.message_id DESC LIMIT $3) newest"""

# what a message holds beyond a row of a usual size
_SIZES = """
    SELECT asked.id,
           coalesce(octet_length(b.text), 0) + coalesce(octet_length(b.subject), 0)
           + coalesce(octet_length(b.fallback_text), 0) + coalesce(octet_length(b.options::text), 0)
           + coalesce(octet_length(b.metadata_::text), 0) + coalesce(octet_length(b.slides::text), 0)
           + (SELECT coalesce(sum(octet_length(url)), 0) FROM postback.media
              WHERE message_id = b.message_id AND state <> 'text') AS size
    FROM unnest($1::uuid[]) AS asked(id)
    LEFT JOIN LATERAL (SELECT message_id FROM postback.adopted WHERE id = asked.id OFFSET 0) adopted ON true
    CROSS JOIN LATERAL (SELECT * FROM postback.message_body
                        WHERE message_id = coalesce(adopted.message_id, asked.id) OFFSET 0) b"""

_TIMELINES = """
    SELECT * FROM postback.event WHERE message_id = ANY($1) AND ($2 OR NOT superseded) ORDER BY seq"""

# the entry of the ledger has the id of the event that tells of it
_CONTACTS = "SELECT id, our_number, contact FROM postback.opt_out_entry WHERE id = ANY($1)"


async def by_ids(snapshot: Snapshot, message_ids: Collection[UUID], channels: Channels) -> dict[UUID, Record]:
    """For each id that names a message, its own or that of a record it adopted: the message."""
    if not message_ids:
        return {}
    return {row.asked: row for row in await snapshot.rows(_BY_IDS, message_ids, channels)}


async def by_calls(
    snapshot: Snapshot, call_ids: Collection[UUID], channels: Channels, most: int
) -> dict[UUID, list[UUID]]:
    """For each id of a call that went out: the newest *most* of the messages in it."""
    found: dict[UUID, list[UUID]] = defaultdict(list)
    if call_ids:
        for row in await snapshot.rows(_BY_CALLS, call_ids, channels, most):
            found[row.asked].append(row.id)
    return found


async def sizes(snapshot: Snapshot, message_ids: Collection[UUID]) -> dict[UUID, int]:
    """Returns the bytes of what each of *message_ids* says, options and metadata included."""
    if not message_ids:
        return {}
    return {row.id: int(row.size) for row in await snapshot.rows(_SIZES, message_ids)}


async def told(snapshot: Snapshot, rows: Sequence[tuple[Row, Row | None]]) -> list[shapes.Event]:
    """One for each of *rows*, events with the messages that they are about."""
    about = [row.id for row, _ in rows if row.type.startswith("contact.")]
    contacts: dict[UUID, tuple[str, str]] = {}
    if about:
        contacts = {row.id: (row.our_number, row.contact) for row in await snapshot.rows(_CONTACTS, about)}
    return [views.event(row, of, about=contacts.get(row.id)) for row, of in rows]


async def with_timelines(
    snapshot: Snapshot, records: Iterable[Record], *, superseded: bool = False
) -> list[shapes.MessageWithTimeline]:
    """One for each of *records*, in their order; events in order of arrival."""
    of = {record.id: record for record in records}
    if not of:
        return []
    events = await snapshot.rows(_TIMELINES, of.keys(), superseded)
    timelines: dict[UUID, list[shapes.Event]] = defaultdict(list)
    for event in await told(snapshot, [(event, of[event.message_id]) for event in events]):
        if event.message_id:
            timelines[event.message_id].append(event)
    return [
        shapes.MessageWithTimeline.model_validate(
            dict(views.message(record, snapshot.sight)) | {"timeline": timelines[named]}
        )
        for named, record in of.items()
    ]
