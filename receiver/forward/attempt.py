"""One try to deliver an event: signed, posted, timed, and noted on the parcel."""

import asyncio
from collections.abc import Callable
from datetime import datetime

import structlog

from receiver.forward import signing
from receiver.forward.letters import Letters
from receiver.forward.parcel import Parcel
from receiver.forward.subscription import Subscription
from receiver.forward.terms import Terms
from receiver.http import AnswerLost, NotSent, Posted, Poster, Unfetchable
from receiver.metrics.definitions import DELIVERY_SECONDS

log = structlog.get_logger()


async def attempt(
    parcel: Parcel, of: Callable[[], Subscription], letters: Letters, poster: Poster, terms: Terms
) -> tuple[int | None, float | None]:
    """The HTTP status, None where no whole answer came, and the seconds of rest that the answer asks for.

    *of* is asked when the post leaves: the address and the secrets may be others than a moment ago.
    """
    loop = asyncio.get_running_loop()
    begun, at = loop.time(), terms.clock()
    posted, error = None, None
    try:
        posted = await _posted(parcel, at, of, letters, poster, terms.deadline)
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
) -> Posted:
    """Raises ``LookupError`` where there is nothing to post any more."""
    if parcel.body is None:
        letter = await letters.at(parcel.seq)
        if letter is None:
            raise LookupError
        parcel.body = letter.body
    subscriber = of()
    headers = signing.headers(parcel.event_id, int(at.timestamp()), parcel.body, subscriber.keys(at))
    return await poster.post(subscriber.url, headers, parcel.body, deadline)
