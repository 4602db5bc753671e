"""Accepting a send: its channel, its carrier's limits, and into the outbox in one transaction."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from models.sends import Submission
from receiver import limits, phone, recipients, routing, slides
from receiver.accepted import Accepted, Content
from receiver.attachments import Attachments
from receiver.auth import scope_of
from receiver.config import ChannelSettings, Settings
from receiver.idempotency import Replays
from receiver.optouts import OptOuts
from receiver.our_numbers import OurNumbers, numbers
from receiver.problems import Code, invalid
from receiver.providers.base import Provider
from receiver.replies import Replies
from receiver.requests import Reply, SendRequest, Sent, TemplateRequest
from receiver.rows import IdempotencyRow
from receiver.send_commit import SendCommit
from receiver.templates import Templates


class Submit:
    """The one writer of sends in a process."""

    def __init__(
        self,
        settings: Settings,
        providers: Mapping[str, Provider],
        templates: Templates,
        files: Attachments,
        opt_outs: OptOuts,
        replays: Replays,
    ) -> None:
        self._settings, self._providers = settings, providers
        self._templates, self._files, self._opt_outs = templates, files, opt_outs
        self._replays, self._replies = replays, Replies(settings, providers)
        self._ours = OurNumbers(settings.channels, providers)
        self._commit = SendCommit(settings.database_url, settings.db_schema)

    def open(self) -> None:
        self._commit.open()

    async def close(self) -> None:
        await self._commit.close()

    async def send(
        self,
        request: SendRequest,
        *,
        scope: str,
        idempotency_key: str | None,
        request_hash: bytes,
        channels: frozenset[str] | None,
        base: str = "",
        reply: Reply | None = None,
    ) -> Sent:
        """Queues one message per recipient. *scope* is the name of the caller's key, *channels* are those
        that it may use, None for all; *base* is how carriers on this machine reach us. A *reply* belongs to
        the conversation that it names, whatever its numbers.

        Raises ``Problem``: what the request lacks, or which limit of its carrier it breaks.
        """
        asked = (request, scope, channels, base, reply)
        if idempotency_key is None:
            return await self._taken(await self._prepare(*asked))
        own = scope_of(scope, channels)
        with self._replays.running(own, idempotency_key):
            earlier = await self._replays.earlier(scope, channels, idempotency_key, request_hash)
            if earlier:
                return earlier
            prepared = await self._prepare(*asked)
            ids = [message.id for message in prepared.messages]
            row = IdempotencyRow(0, own, idempotency_key, request_hash, ids)
            return await self._taken(replace(prepared, idempotency=row))

    async def _taken(self, prepared: Accepted) -> Sent:
        sent = await self._commit.take(prepared)
        return sent if sent.replayed else replace(sent, warnings=prepared.warnings)

    async def save_template(
        self, request: TemplateRequest, *, scope: str, channels: frozenset[str] | None, base: str = ""
    ) -> UUID:
        """Queues a message to be stored with its carrier; answers with its id. Raises ``Problem``."""
        channel = self._channel(self._usable(channels), routing.Criteria("mms", name=request.channel))
        provider = self._providers[channel.provider]
        if not provider.saves_templates:
            raise invalid("/channel", f"{provider.name} stores no messages.", Code.CHANNEL_CANNOT)
        slides.check(request, provider)
        template_id = uuid7()
        submission = Submission(
            id=template_id,
            action="save_template",
            sender=None,
            recipient=None,
            text=request.text,
            subject=request.subject,
            media=await self._files.of(
                slides.named(request),
                channel,
                provider,
                base=base,
                scope=scope,
                channels=channels,
                lasting=True,
            ),
            fallback_text=request.fallback_text,
            template_name=request.name,
            slides=slides.said(request),
        )
        limits.hold(provider, channel, submission)
        await self._templates.save(submission, channel.name, provider.name)
        return template_id

    async def _prepare(
        self,
        request: SendRequest,
        scope: str,
        channels: frozenset[str] | None,
        base: str,
        reply: Reply | None,
    ) -> Accepted:
        kind = _kind(request)
        template = (
            await self._templates.usable(request.template_id, channels) if request.template_id else None
        )
        stored = template.content if template else {}
        usable = self._usable(channels)
        if reply:
            request = self._answering(request, reply, kind, channels)
        sender = self._sender(request, channels)
        name = request.channel or (template.channel if template else None)
        exactly = request.kind is not None
        criteria = routing.Criteria(kind, name, sender, self._first(request), exactly=exactly)
        channel = self._channel(usable, criteria)
        if template and template.channel != channel.name:
            raise invalid("/template_id", f"The template belongs to the channel {template.channel!r}.")
        provider = self._providers[channel.provider]
        slides.check(request, provider)
        if kind == "mms" and not provider.mms_of_text and not (request.media or request.subject):
            raise invalid("/media", f"{provider.name} takes no MMS without a file", Code.CHANNEL_CANNOT)
        for option in provider.sender_options:
            self._hold_open(f"/options/{option}", request.options.get(option), channels)
        if len(provider.kinds) == 1:
            (kind,) = provider.kinds
        submission = Submission(
            id=uuid7(),
            action="send",
            sender=sender if "from_" in request.model_fields_set else next(iter(numbers(channel)), None),
            recipient=None,
            text=request.text,
            subject=request.subject,
            media=await self._files.of(
                slides.named(request), channel, provider, base=base, scope=scope, channels=channels
            ),
            fallback_text=request.fallback_text or stored.get("fallback_text"),
            expires_at=request.expires_at,
            provider_template_id=str(request.template_id) if template else None,
            options=request.options,
            kind=kind,
            slides=slides.said(request),
            reference=request.client_reference if channel.sends_app_reference else None,
        )
        region = routing.region(channel, provider, self._settings.default_region)
        to = recipients.read(request.to, region)
        content = Content.of(submission, request, len(to))
        copies = [replace(submission, recipient=number) for number in to.values()]
        limits.hold(provider, channel, *copies, pointers=tuple(to))
        made = Accepted([], [], [], None, limits.advised(provider, channel, *copies))
        for copy in copies:
            made.add(copy, content, channel, provider, self._opt_outs)
        if reply:
            rows = [
                row._replace(conversation_number=reply.our_number, thread=reply.thread)
                for row in made.messages
            ]
            return replace(made, messages=rows)
        return made

    def _answering(
        self, request: SendRequest, reply: Reply, kind: str, channels: frozenset[str] | None
    ) -> SendRequest:
        way = self._replies.way(reply.our_number, request.to[0], reply.channel, kind=kind, channels=channels)
        sender = {} if way.sender is None else {"from_": way.sender}
        return request.model_copy(update={"channel": way.channel, **sender})

    def _channel(self, usable: Mapping[str, ChannelSettings], criteria: routing.Criteria) -> ChannelSettings:
        """Returns the channel, of *usable*, that takes the send. Raises ``Problem``."""
        if criteria.name is None:
            usable = routing.able(usable, self._providers, self._ours, criteria.sender)
        channel = routing.choose(usable, self._providers, self._ours, criteria)
        routing.hold(channel, self._providers)
        return channel

    def _usable(self, channels: frozenset[str] | None) -> dict[str, ChannelSettings]:
        configured = self._settings.channels
        return {name: configured[name] for name in configured if channels is None or name in channels}

    def _sender(self, request: SendRequest, channels: frozenset[str] | None) -> str | None:
        if request.from_ is None:
            return None
        try:
            sender = phone.sender(request.from_, self._settings.default_region)
        except phone.InvalidNumber as error:
            raise invalid("/from", f"{request.from_!r} {error}", Code.INVALID_NUMBER) from None
        self._hold_open("/from", sender, channels)
        return sender

    def _hold_open(self, pointer: str, sender: Any, channels: frozenset[str] | None) -> None:
        """Refuses a sender that is foreign to a key for *channels*. Raises ``Problem``."""
        if isinstance(sender, str) and self._ours.closed_to(sender, channels):
            raise invalid(pointer, f"{sender!r} is a number that this API key may not send from.")

    def _first(self, request: SendRequest) -> str | None:
        try:
            return phone.parse(request.to[0], self._settings.default_region)
        except phone.InvalidNumber:
            return None  # said with the others, once the channel's region is known


def _kind(request: SendRequest) -> str:
    """Returns the kind that *request* is sent as. Raises ``Problem`` where it asks for an SMS of what none
    can carry."""
    contents = {"media": request.media, "slides": request.slides, "subject": request.subject}
    only_mms = [name for name, value in {**contents, "template_id": request.template_id}.items() if value]
    if request.kind == "sms" and only_mms:
        raise invalid("/kind", f"an SMS carries no {only_mms[0]}")
    return request.kind or ("mms" if only_mms else "sms")
