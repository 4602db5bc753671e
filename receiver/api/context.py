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
from receiver.requests import SendRequest, TemplateRequest


class Sent(Protocol):
    """As `receiver.requests.Sent`."""

    @property
    def message_ids(self) -> Sequence[UUID]: ...

    @property
    def replayed(self) -> bool: ...


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
    """*ready* says whether a webhook can be stored now."""

    settings: Settings
    engine: AsyncEngine
    submit: Submit
    interventions: Interventions
    auth: Auth
    files: Files
    ready: Callable[[], Awaitable[bool]]
