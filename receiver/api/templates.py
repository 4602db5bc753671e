"""/v1/templates: messages stored with their carrier."""

from starlette.responses import Response

from receiver.api.operation import Ask, Nothing, Operation, json
from receiver.api.reading import path_id
from receiver.auth import Scope
from receiver.problems import not_found
from receiver.read import shapes, templates
from receiver.read.filters import Query, TemplateFilters
from receiver.requests import TemplateRequest


async def save_template(ask: Ask[Query, TemplateRequest]) -> Response:
    template_id = await ask.context.submit.save_template(
        ask.body, scope=ask.principal.name, channels=ask.channels, base=ask.nearby
    )
    template = await templates.template(
        ask.context.engine, template_id, ask.reader.sight, channels=ask.channels
    )
    if template is None:
        raise not_found()
    return json(template, 201, {"Location": f"/v1/templates/{template_id}"})


async def list_templates(ask: Ask[TemplateFilters, Nothing]) -> Response:
    return json(
        await templates.templates(ask.context.engine, ask.query, ask.reader.sight, channels=ask.channels)
    )


async def get_template(ask: Ask[Query, Nothing]) -> Response:
    template = await templates.template(
        ask.context.engine, path_id(ask.request), ask.reader.sight, channels=ask.channels
    )
    if template is None:
        raise not_found()
    return json(template)


OPERATIONS = (
    Operation(
        "POST",
        "/v1/templates",
        save_template,
        "Store a message with its carrier",
        Scope.ADMIN,
        Query,
        TemplateRequest,
        shapes.Template,
        status=201,
        undecided="It may be on its way to the carrier: list the templates before it is stored again.",
    ),
    Operation(
        "GET",
        "/v1/templates",
        list_templates,
        "List templates, newest first",
        Scope.READ,
        TemplateFilters,
        Nothing,
        shapes.TemplateList,
    ),
    Operation(
        "GET",
        "/v1/templates/{id}",
        get_template,
        "Read a template",
        Scope.READ,
        Query,
        Nothing,
        shapes.Template,
    ),
)
