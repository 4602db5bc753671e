"""``postback payloads`` and ``postback recompute``: reading again, and folding again, what is kept."""

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

import typer

from postback import progress
from postback.start import checked, configured, connected
from receiver import db, kept, moments, secrets
from receiver import recompute as recomputing
from receiver.channel_checks import providers_of
from receiver.config import ConfigError, Settings
from receiver.kept import Selection
from receiver.media import store_of
from receiver.replay import Replay
from receiver.replayed import Change, Summary

#: messages shown one by one; the rest is in the counts
SHOWN = 50
STATES = ("applied", "duplicate", "quarantined", "unverified")

app = typer.Typer(help="What carriers sent, as it is kept.", no_args_is_help=True, add_completion=False)


@app.command()
def replay(
    state: Annotated[str | None, typer.Option(help=f"Only those in this state: {', '.join(STATES)}.")] = None,
    channel: Annotated[str | None, typer.Option(help="Only those of this channel.")] = None,
    since: Annotated[str | None, typer.Option(help="Received at this moment (RFC 3339) or later.")] = None,
    until: Annotated[str | None, typer.Option(help="Received before this moment.")] = None,
    id_: Annotated[list[str] | None, typer.Option("--id", help="Only this one; may be repeated.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would change, and change nothing.")
    ] = False,
    rate: Annotated[float, typer.Option(min=0.1, help="Payloads per second, at most.")] = 100.0,
) -> None:
    """Reads kept requests again with today's understanding, and says what that changes."""
    if state is not None and state not in STATES:
        raise ConfigError(f'"{state}" is no state of a payload; they are {", ".join(STATES)}.')
    settings = connected(configured())
    begun = datetime.now(UTC)
    selection = Selection(
        state=state,
        channel=channel,
        since=_moment("--since", since),
        until=min(_moment("--until", until) or begun, begun),
        ids=[_id(text) for text in id_] if id_ else None,
    )
    asyncio.run(_replay(settings, selection, dry_run=dry_run, rate=rate))


@app.command()
def discard(
    state: Annotated[str, typer.Option(help=f"Those in this state: {' or '.join(kept.DISCARDABLE)}.")],
    channel: Annotated[str | None, typer.Option(help="Only those of this channel.")] = None,
    before: Annotated[str | None, typer.Option(help="Received before this moment (RFC 3339).")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say how many would go, and remove none.")
    ] = False,
) -> None:
    """Removes kept requests of which nothing was understood. What they said is lost."""
    if state not in kept.DISCARDABLE:
        raise ConfigError(
            f'Payloads in the state "{state}" are not discarded; '
            f"those in {' and '.join(kept.DISCARDABLE)} are."
        )
    settings = connected(configured())
    begun = datetime.now(UTC)
    until = min(_moment("--before", before) or begun, begun)
    asyncio.run(_discard(settings, Selection(state=state, channel=channel, until=until), dry_run=dry_run))


async def _discard(settings: Settings, selection: Selection, *, dry_run: bool) -> None:
    await checked(settings)
    async with db.connected(settings.database_url) as connection:
        found = await kept.tally(connection, selection, settings.db_schema)
        for one in found:
            print(f"{one.channel}  {one.requests} {selection.state}, {one.size / (1 << 20):.1f} MiB")
        if dry_run:
            print(f"{sum(one.requests for one in found)} would be discarded")
            return
        gone = 0
        with progress.bar() as shown:
            task = shown.add_task("discard", total=sum(one.requests for one in found))
            parts = kept.discard(connection, selection, settings.db_schema)
            async for part in progress.until_stopped(parts):
                gone += part
                shown.update(task, completed=gone)
    print(f"{gone} discarded")


async def _replay(settings: Settings, selection: Selection, *, dry_run: bool, rate: float) -> None:
    await checked(settings)
    keys = secrets.load(settings)
    store = store_of(settings, keys)
    replaying = Replay(settings, providers_of(settings), keys, store)
    total = await replaying.count(selection)
    parts = replaying.predict(selection) if dry_run else replaying.run(selection, rate=rate)
    summary = Summary()
    with progress.bar() as shown:
        bar = shown.add_task("dry run" if dry_run else "replay", total=total)
        async for part in progress.until_stopped(parts):
            summary.add(part)
            shown.update(bar, completed=len(summary.payloads))
    _report(summary, dry_run=dry_run)
    if len(summary.payloads) < total:
        last = max(summary.payloads, default=None)
        print(f"Stopped after payload {last}; a replay may be repeated from the start.", file=sys.stderr)
        sys.exit(130)


def _report(summary: Summary, *, dry_run: bool) -> None:
    would = "would be " if dry_run else ""
    counts = ", ".join(f"{count} {state}" for state, count in sorted(summary.states.items())) or "none"
    print(f"payloads   {counts}")
    print(f"events     {summary.written} {would}written, {summary.superseded} {would}superseded")
    for reason, count in Counter(
        filed.reason for filed in summary.payloads.values() if filed.reason
    ).most_common():
        print(f"  {count} x {reason}")
    _report_changes(list(summary.messages.values()), dry_run=dry_run)


def _report_changes(changes: list[Change], *, dry_run: bool) -> None:
    print(f"messages   {len(changes)} {'would change' if dry_run else 'changed'}")
    moves = Counter((change.before, change.after) for change in changes)
    for (before, after), count in sorted(moves.items(), key=lambda move: -move[1]):
        print(f"  {count} x {before or 'new'} -> {after}")
    for change in changes[:SHOWN]:
        print(f"  {change.id}  {change.before or 'new'} -> {change.after}")
    if len(changes) > SHOWN:
        print(f"  and {len(changes) - SHOWN} more")


def recompute(
    after: Annotated[
        str | None, typer.Option(help="Go on after this message, where an earlier run stopped.")
    ] = None,
) -> None:
    """Folds all statuses again from their events, and says which that changes."""
    settings = connected(configured())
    start = _id(after) if after else recomputing.START
    asyncio.run(_recompute(settings, start))


async def _recompute(settings: Settings, after: UUID) -> None:
    await checked(settings)
    total = await recomputing.count(settings)
    changes: list[Change] = []
    done, last = 0, after
    ended = False

    async def stretches() -> AsyncIterator[recomputing.Stretch]:
        nonlocal ended
        async for stretch in recomputing.run(settings, after):
            yield stretch
        ended = True

    with progress.bar() as shown:
        bar = shown.add_task("recompute", total=total)
        async for stretch in progress.until_stopped(stretches()):
            done, last = done + stretch.looked_at, stretch.last
            changes.extend(stretch.changes)
            shown.update(bar, completed=done)
    _report_changes(changes, dry_run=False)
    if not ended:
        print(f"Stopped; go on with: postback recompute --after {last}", file=sys.stderr)
        sys.exit(130)


def _moment(option: str, text: str | None) -> datetime | None:
    try:
        return None if text is None else moments.parse(text)
    except ValueError as error:
        raise ConfigError(f"{option} {error}.") from None


def _id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise ConfigError(f'"{text}" is no id.') from None
