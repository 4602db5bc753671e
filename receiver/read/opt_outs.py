"""Reading back who asked not to be written to, and how that came about."""

from collections.abc import Collection, Iterator
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, or_, true
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import aliased
from sqlmodel import col, select

from models import OptOut, OptOutEntry
from receiver import phone
from receiver.db import snapshot
from receiver.optouts import OptOuts
from receiver.read import ids, shapes
from receiver.read.filters import OptOutFilters, written_in
from receiver.read.walk import walk


async def opt_outs(
    engine: AsyncEngine, filters: OptOutFilters, rules: OptOuts, *, region: str
) -> shapes.OptOutList:
    """Those who are opted out now, newest first. Numbers are read as written in *region*."""
    contact = written_in(filters.contact, region) if filters.contact else None
    our_number = written_in(filters.our_number, region) if filters.our_number else None
    walked = walk(list(_branches(filters, contact, our_number, rules)))
    of = aliased(OptOut, walked.rows, adapt_on_names=True)
    query = select(of).order_by(*walked.order).limit(filters.limit + 1)
    if our_number is not None:
        query = query.where(col(of.our_number) == our_number)
    async with snapshot(engine) as session:
        rows = (await session.scalars(query)).all()
        page, ended = await walked.page(session, rows, filters.limit)
        return shapes.OptOutList(
            data=[shapes.OptOut.model_validate(row, from_attributes=True) for row in page],
            next_cursor=ids.cursor_of_id(ended[-1], ids.Walked.OPT_OUTS) if ended else None,
        )


def _branches(
    filters: OptOutFilters, contact: str | None, our_number: str | None, rules: OptOuts
) -> Iterator[Select[Any]]:
    """Along a contact's entries, else those of a number of ours, else the time."""
    along = select(OptOut)
    if filters.cursor is not None:
        along = along.where(col(OptOut.id) < filters.cursor)
    if contact is not None:
        for condition in _ways(OptOut, contact, rules):
            yield along.where(condition)
    elif our_number is not None:
        yield along.where(col(OptOut.our_number) == our_number)
    else:
        yield along


async def opt_out(
    engine: AsyncEngine, our_number: str, contact: str, rules: OptOuts
) -> shapes.OptOutWithLedger | None:
    """Whether *contact* may be written to from *our_number*, and everything that was ever said about it.

    The entry that forbids it may be one for another number that counts as the same, or for all of them.
    """
    async with snapshot(engine) as session:
        rows = await session.scalars(
            select(OptOut)
            .where(_of(OptOut, contact, rules), _about(OptOut, our_number, rules))
            .order_by(col(OptOut.our_number) != our_number, col(OptOut.id))
        )
        entries = (
            await session.scalars(
                select(OptOutEntry)
                .where(_of(OptOutEntry, contact, rules), _about(OptOutEntry, our_number, rules))
                .order_by(col(OptOutEntry.at), col(OptOutEntry.id))
            )
        ).all()
    standing = rows.first()
    if standing is None and not entries:
        return None
    stands: dict[str, Any] = standing.model_dump() if standing else {"our_number": our_number}
    return shapes.OptOutWithLedger.model_validate(
        stands
        | {
            "contact": contact,
            "opted_out": standing is not None,
            "ledger": [shapes.LedgerEntry.model_validate(entry, from_attributes=True) for entry in entries],
        }
    )


async def opted_out(
    session: AsyncSession, pairs: Collection[tuple[str, str]], rules: OptOuts
) -> set[tuple[str, str]]:
    """Those of *pairs* (our number, contact) that no message may go to now."""
    contacts = {contact for _, contact in pairs}
    # whose opt-out it is, by any spelling of the number or by what an erased one has left
    spelt = {
        spelling: phone.spelling(contact) for contact in contacts for spelling in phone.spellings(contact)
    }
    hashes = {digest: phone.spelling(contact) for contact in contacts for digest in rules.hashes(contact)}
    found: dict[str, set[str]] = {}
    query = select(OptOut.contact, OptOut.contact_hash, OptOut.our_number).where(
        or_(
            and_(col(OptOut.contact).in_(spelt), col(OptOut.contact_hash) == b""),
            and_(col(OptOut.contact_hash) != b"", col(OptOut.contact_hash).in_(hashes)),
        )
    )
    for contact, digest, our_number in await session.execute(query):
        found.setdefault(hashes[digest] if digest else spelt[contact], set()).add(our_number)
    return {
        (our_number, contact)
        for our_number, contact in pairs
        if (numbers := found.get(phone.spelling(contact)))
        and ((scope := rules.scope(our_number)) is None or not numbers.isdisjoint(scope))
    }


def _of(table: type[OptOut] | type[OptOutEntry], contact: str, rules: OptOuts) -> ColumnElement[bool]:
    return or_(*_ways(table, contact, rules))


def _ways(
    table: type[OptOut] | type[OptOutEntry], contact: str, rules: OptOuts
) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    """In clear, and as what an erased number has left; an index each."""
    in_clear = and_(col(table.contact).in_(phone.spellings(contact)), col(table.contact_hash) == b"")
    erased = and_(col(table.contact_hash) != b"", col(table.contact_hash).in_(rules.hashes(contact)))
    return in_clear, erased


def _about(table: type[OptOut] | type[OptOutEntry], our_number: str, rules: OptOuts) -> ColumnElement[bool]:
    scope = rules.scope(our_number)
    return true() if scope is None else col(table.our_number).in_(scope)
