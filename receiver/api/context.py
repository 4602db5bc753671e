"""What the routes need of the rest of the house; `receiver.app` puts one on ``app.state.context``."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from receiver.auth import Auth
from receiver.config import Settings
from receiver.intervene import Interventions
from receiver.media import Files
from receiver.optouts import OptOuts
from receiver.our_numbers import OurNumbers
from receiver.problems import FieldError
from receiver.pulse import Pulse
from receiver.reader import Reader
from receiver.replay import Replay
from receiver.replies import Replies
from receiver.requests import Reply, SendRequest, TemplateRequest
from receiver.stream import Stream
from receiver.subscribers import Subscribers


class Sent(Protocol):
    """As `receiver.requests.Sent`."""

    @property
    def message_ids(self) -> Sequence[UUID]: ...

    @property
    def replayed(self) -> bool: ...

    @property
    def warnings(self) -> Sequence[FieldError]: ...


class Submit(Protocol):
    """Takes sends; everything it refuses is a ``Problem``. *channels* are the only ones that it may use,
    None all of them."""

    async def send(
        self,
        request: SendRequest,
        *,
        scope: str,
        idempotency_key: str | None,
        request_hash: bytes,
        channels: frozenset[str] | None,
        base: str,
        reply: Reply | None = None,
    ) -> Sent:
        """Accepts a message per recipient. *scope* keeps one app's keys apart from another's, *base* is the
        address by which the caller reaches us."""
        ...

    async def save_template(
        self, request: TemplateRequest, *, scope: str, channels: frozenset[str] | None, base: str
    ) -> UUID:
        """Accepts a template to be stored with its carrier."""
        ...


@dataclass(frozen=True, slots=True)
class Context:
    """*ready* says whether a webhook can be stored now; *scrape* gives the metrics in the format that an
    ``Accept`` header prefers, and its media type."""

    settings: Settings
    engine: AsyncEngine
    reader: Reader
    submit: Submit
    interventions: Interventions
    auth: Auth
    files: Files
    stream: Stream
    replay: Replay
    subscribers: Subscribers
    ready: Callable[[], Awaitable[bool]]
    scrape: Callable[[str], Awaitable[tuple[bytes, str]]]
    opt_outs: OptOuts
    our_numbers: OurNumbers
    pulse: Pulse
    replies: Replies
