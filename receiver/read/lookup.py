"""Many messages by any of their names, in one question."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from uuid import UUID

from receiver.auth import Channels
from receiver.problems import Code, Problem, invalid, unavailable
from receiver.read import ids, shapes
from receiver.read.records import by_calls, by_ids, sizes, with_timelines
from receiver.reader import Reader, Snapshot
from receiver.requests import LookupRequest

#: messages answered with per name; a name of more is a list to page through
MOST_PER_NAME = 25
#: bytes of content of the messages of one answer; a single message is answered with whatever its size
LARGEST_ANSWER = 16 << 20

_BY_CLIENT_REFERENCE = f"""
    SELECT asked.name, newest.id FROM unnest($1::text[]) AS asked(name)
    CROSS JOIN LATERAL (
        SELECT m.id FROM postback.message m
        WHERE m.client_reference = asked.name AND ($2::text[] IS NULL OR m.channel = ANY($2))
        ORDER BY m.id DESC LIMIT {MOST_PER_NAME}) newest"""  # noqa: S608 - a number of ours
_BY_PROVIDER_ID = f"""
    SELECT asked.name, newest.id FROM unnest($1::text[]) AS asked(name)
    CROSS JOIN LATERAL (
        SELECT DISTINCT m.id FROM postback.reference r JOIN postback.message m ON m.id = r.message_id
        WHERE r.provider_message_id = asked.name AND NOT starts_with(r.provider_message_id, ':internal')
          AND ($2::text[] IS NULL OR m.channel = ANY($2))
        ORDER BY m.id DESC LIMIT {MOST_PER_NAME}) newest"""  # noqa: S608 - a number of ours

_SUBMITS_LATE = "SELECT postback.submits_late() AS late"


async def lookup(reader: Reader, request: LookupRequest, *, channels: Channels) -> shapes.LookupAnswer:
    """The messages of any of the names, newest first and each once, and the names that have none.

    An id that is missing stays so: a caller who was not told whether his send was taken asks by it. Raises
    ``Problem``: 503 while that is not certain, 422 where the messages are more than `LARGEST_ANSWER`.
    """
    answer = await _looked_up(reader, request, channels)
    if not answer.missing.ids:
        return answer
    async with reader.snapshot() as snapshot:
        [row] = await snapshot.rows(_SUBMITS_LATE)
    if row.late:
        raise unavailable("A send takes longer than it should: what is missing may still come.")
    return await _looked_up(reader, request, channels)


async def _looked_up(reader: Reader, request: LookupRequest, channels: Channels) -> shapes.LookupAnswer:
    given = {text: named for text in request.ids if (named := ids.parse(text)) is not None}
    async with reader.snapshot() as snapshot:
        by_reference = await _newest(snapshot, _BY_CLIENT_REFERENCE, request.client_references, channels)
        by_provider_id = await _newest(snapshot, _BY_PROVIDER_ID, request.provider_message_ids, channels)
        by_call = await _called(snapshot, request, channels)
        wanted = {*given.values()}.union(*by_reference.values(), *by_provider_id.values(), *by_call.values())
        if len(wanted) > 1 and sum((await sizes(snapshot, wanted)).values()) > LARGEST_ANSWER:
            raise _too_large()
        found = await by_ids(snapshot, wanted, channels)
        records = {record.id: record for record in found.values()}
        return shapes.LookupAnswer(
            data=await with_timelines(snapshot, [records[key] for key in sorted(records, reverse=True)]),
            missing=shapes.Missing(
                ids=[text for text in request.ids if given.get(text) not in found and text not in by_call],
                provider_message_ids=[
                    n for n in request.provider_message_ids if n not in by_provider_id and n not in by_call
                ],
                client_references=[
                    n for n in request.client_references if n not in by_reference and n not in by_call
                ],
            ),
        )


async def _called(
    snapshot: Snapshot, request: LookupRequest, channels: Channels
) -> Mapping[str, Sequence[UUID]]:
    """The newest messages of each name, of whatever kind, that is the id of a call that went out."""
    names = {*request.ids, *request.provider_message_ids, *request.client_references}
    calls = {text: named for text in names if (named := ids.parse(text)) is not None}
    found = await by_calls(snapshot, {*calls.values()}, channels, MOST_PER_NAME)
    return {text: found[named] for text, named in calls.items() if named in found}


def _too_large() -> Problem:
    detail = (
        f"The messages of these names hold more than {LARGEST_ANSWER} bytes. Look up fewer names at once, "
        "or list the messages of each."
    )
    return invalid("", detail, Code.CONTENT_TOO_LARGE)


async def _newest(
    snapshot: Snapshot, text: str, names: Sequence[str], channels: Channels
) -> Mapping[str, Sequence[UUID]]:
    """The newest messages of each of *names* that has any."""
    found: dict[str, list[UUID]] = defaultdict(list)
    if names:
        for row in await snapshot.rows(text, names, channels):
            found[row.name].append(row.id)
    return found
