"""/v1/conversations: who we talk with, what was said, replying, marking read."""

import hashlib
from typing import Any

from starlette.responses import Response

from receiver.api.messages import IDEMPOTENCY, sent_messages
from receiver.api.operation import Ask, Nothing, Operation, json
from receiver.api.reading import idempotency_key, path_id
from receiver.auth import Scope
from receiver.our_numbers import Sight
from receiver.problems import not_found
from receiver.read import conversations, shapes, timeline
from receiver.read.filters import ConversationFilters, MessageFilters, MessagePage, Query
from receiver.requests import ReadRequest, Reply, ReplyRequest, SendRequest


async def list_conversations(ask: Ask[ConversationFilters, Nothing]) -> Response:
    context = ask.context
    return json(
        await conversations.conversations(
            context.engine,
            ask.query,
            context.opt_outs,
            context.replies,
            region=context.settings.default_region,
            sight=_sight(ask),
        )
    )


async def get_conversation(ask: Ask[Query, Nothing]) -> Response:
    return json(await _conversation(ask))


async def list_conversation_messages(ask: Ask[MessagePage, Nothing]) -> Response:
    conversation = await _conversation(ask)
    page = MessageFilters.model_construct(**dict(ask.query))  # they are validated; a cursor is only so once
    return json(
        await timeline.messages(
            ask.reader, page, region="", channels=ask.channels, conversation_id=conversation.id
        )
    )


async def reply(ask: Ask[Query, ReplyRequest]) -> Response:
    found = await conversations.found(ask.context.engine, path_id(ask.request), sight=_sight(ask))
    if found is None:
        raise not_found()
    conversation, channel = found
    request = SendRequest(**ask.body.model_dump(exclude_unset=True), to=[conversation.contact])
    sent = await ask.context.submit.send(
        request,
        scope=ask.principal.name,
        idempotency_key=idempotency_key(ask.request),
        # the same words into another conversation are another request
        request_hash=hashlib.sha256(conversation.id.bytes + ask.body_hash).digest(),
        channels=ask.channels,
        base=ask.nearby,
        reply=Reply(conversation.our_number, conversation.thread, channel),
    )
    return await sent_messages(ask, sent)


async def read(ask: Ask[Query, ReadRequest]) -> Response:
    conversation = await _conversation(ask)
    await ask.context.interventions.mark_read(conversation.id, ask.body.up_to)
    return json(await _conversation(ask))


async def _conversation(ask: Ask[Any, Any]) -> shapes.Conversation:
    """The one of the path. Raises ``Problem`` (404)."""
    found = await conversations.conversation(
        ask.context.engine, path_id(ask.request), ask.context.opt_outs, ask.context.replies, sight=_sight(ask)
    )
    if found is None:
        raise not_found()
    return found


def _sight(ask: Ask[Any, Any]) -> Sight | None:
    """What the asker's key may see."""
    return ask.context.our_numbers.sight(ask.channels)


OPERATIONS = (
    Operation(
        "GET",
        "/v1/conversations",
        list_conversations,
        "List conversations, those with the newest messages first",
        Scope.READ,
        ConversationFilters,
        Nothing,
        shapes.ConversationList,
    ),
    Operation(
        "GET",
        "/v1/conversations/{id}",
        get_conversation,
        "Read a conversation",
        Scope.READ,
        Query,
        Nothing,
        shapes.Conversation,
    ),
    Operation(
        "GET",
        "/v1/conversations/{id}/messages",
        list_conversation_messages,
        "List a conversation's messages in either direction, newest first",
        Scope.READ,
        MessagePage,
        Nothing,
        shapes.MessageList,
    ),
    Operation(
        "POST",
        "/v1/conversations/{id}/messages",
        reply,
        "Reply from the number that was written to",
        Scope.SEND,
        Query,
        ReplyRequest,
        shapes.SentMessages,
        status=202,
        headers=IDEMPOTENCY,
        problems=(409,),
    ),
    Operation(
        "POST",
        "/v1/conversations/{id}/read",
        read,
        "Mark a conversation as read, or its messages up to one of them",
        Scope.SEND,
        Query,
        ReadRequest,
        shapes.Conversation,
        optional=True,
        undecided="Ask again: the same again changes nothing.",
    ),
)
