"""One try to deliver an event: signed, posted, timed, and noted on the parcel."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime

import structlog

from receiver.forward import signing
from receiver.forward.letters import Letters
from receiver.forward.parcel import Parcel
from receiver.forward.subscription import Subscription
from receiver.forward.terms import Terms
from receiver.http import AnswerLost, NotSent, Posted, Poster, Unfetchable
from receiver.metrics.definitions import DELIVERY_SECONDS
from receiver.redactions import Redactions

log = structlog.get_logger()


class _Withdrawn(Exception):
    """What was to be posted is redacted, or may be."""


@dataclass(frozen=True, slots=True)
class _Content:
    """The *body* of a post, unless it is old in the moment when it leaves."""

    parcel: Parcel
    body: bytes
    redactions: Redactions

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self.parcel.body is not self.body or not self.redactions.current:
            raise _Withdrawn
        yield self.body


async def attempt(
    parcel: Parcel,
    of: Callable[[], Subscription],
    letters: Letters,
    poster: Poster,
    terms: Terms,
    redactions: Redactions,
) -> tuple[int | None, float | None]:
    """The HTTP status, None where no whole answer came, and the seconds of rest that the answer asks for.

    *of* is asked when the post leaves: the address and the secrets may be others than a moment ago. A post of
    which something is redacted meanwhile is made anew; while nobody can tell, it waits.
    """
    loop = asyncio.get_running_loop()
    posted, error = None, None
    try:
        await redactions.ready()
        begun, at = loop.time(), terms.clock()
        posted = await _posted(parcel, at, of, letters, poster, terms.deadline, redactions)
    except _Withdrawn:
        return await attempt(parcel, of, letters, poster, terms, redactions)
    except (NotSent, AnswerLost, Unfetchable) as failure:
        error = str(failure)
    except LookupError:
        error = "the event is no longer kept"
        parcel.tries = terms.tries
    except Exception as failure:
        log.exception("a post could not be made", subscriber=str(of().id))
        error = f"it could not be made: {type(failure).__name__}"
    finally:
        parcel.flying = False
    seconds = loop.time() - begun
    DELIVERY_SECONDS.observe(seconds)
    status, answer = (posted.status, posted.body) if posted else (None, None)
    parcel.attempted(at, round(seconds * 1000), status=status, answer=answer, error=error)
    return status, posted.retry_after if posted else None


async def _posted(
    parcel: Parcel,
    at: datetime,
    of: Callable[[], Subscription],
    letters: Letters,
    poster: Poster,
    deadline: float,
    redactions: Redactions,
) -> Posted:
    """Raises ``LookupError`` where there is nothing to post any more, and ``_Withdrawn``."""
    if parcel.body is None:
        parcel.body = await letters.body(parcel.seq)
    if (body := parcel.body) is None:
        raise LookupError
    subscriber = of()
    headers = signing.headers(parcel.event_id, int(at.timestamp()), body, subscriber.keys(at))
    headers["content-length"] = str(len(body))
    try:
        async with asyncio.timeout(None) as parcel.leaving:
            return await poster.post(subscriber.url, headers, _Content(parcel, body, redactions), deadline)
    except TimeoutError:
        raise _Withdrawn from None
    finally:
        parcel.ended()
