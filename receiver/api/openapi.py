"""The OpenAPI 3.1 document, made of the same declarations as the routes."""

import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from receiver.api.notification import webhooks
from receiver.api.operation import Header, Nothing, Operation, Page
from receiver.problems import MEDIA_TYPE, ProblemDocument
from receiver.read.shapes import Notification

VERSION = "1"

_DESCRIPTION = (
    "What carriers called back with, one status timeline per message, and sending. Times are RFC 3339 in "
    "UTC, ids are UUIDv7, numbers are E.164. Every answer carries `X-Request-Id`."
)
#: the answers of every operation beside its own, a body that none asked for included; one that takes a body
#: adds another, an id too
_ALWAYS = (401, 403, 408, 413, 422, 429, 500, 503)
_WITH_BODY = (415,)
_WITH_ID = (404,)
_RATE_HEADERS = {
    "RateLimit-Policy": {
        "schema": {"type": "string"},
        "description": "The key's rate: q requests in w seconds.",
    },
    "RateLimit": {
        "schema": {"type": "string"},
        "description": "What is left of it (r), and for how long (t).",
    },
}

Schemas = dict[tuple[Any, JsonSchemaMode], dict[str, Any]]


def document(operations: Sequence[Operation[Any, Any]], pages: Sequence[Page]) -> dict[str, Any]:
    schemas, definitions = _schemas(operations, pages)
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, schemas)
    for page in pages:
        paths.setdefault(page.path, {})["get"] = _page(page, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Postback", "version": VERSION, "description": _DESCRIPTION},
        "paths": paths,
        "webhooks": webhooks(schemas[Notification, "serialization"]),
        "components": {
            "schemas": definitions,
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API key, made by `postback keys create`.",
                }
            },
        },
    }


def _schemas(
    operations: Sequence[Operation[Any, Any]], pages: Sequence[Page]
) -> tuple[Schemas, dict[str, Any]]:
    wanted: dict[tuple[type[BaseModel], JsonSchemaMode], None] = {
        (ProblemDocument, "serialization"): None,
        (Notification, "serialization"): None,
    }
    for operation in operations:
        wanted[operation.answer, "serialization"] = None
        if operation.body is not Nothing:
            wanted[operation.body, "validation"] = None
    for page in pages:
        if page.answer:
            wanted[page.answer, "serialization"] = None
    references, schema = models_json_schema(list(wanted), ref_template="#/components/schemas/{model}")
    return references, schema["$defs"]


def _operation(operation: Operation[Any, Any], schemas: Schemas) -> dict[str, Any]:
    named = re.findall(r"{(\w+)}", operation.path)
    has_body = operation.body is not Nothing
    problems = {*_ALWAYS, *operation.problems}
    problems.update(_WITH_BODY if has_body else (), _WITH_ID if named else ())
    success = _answer(operation.status, operation.media_type, schemas[operation.answer, "serialization"])
    described: dict[str, Any] = {
        "operationId": operation.endpoint.__name__,
        "summary": operation.summary,
        "description": _description(operation),
        "tags": [operation.path.split("/")[2]],
        "security": [{"key": []}],
        "parameters": [
            *map(_in_path, named),
            *_query_parameters(operation.query),
            *(_header(name, header) for name, header in operation.headers.items()),
        ],
        "responses": {
            str(operation.status): success | {"headers": _RATE_HEADERS},
            **{str(status): _problem(status, schemas) for status in sorted(problems)},
        },
    }
    if has_body:
        content = {"application/json": {"schema": schemas[operation.body, "validation"]}}
        described["requestBody"] = {"required": not operation.optional, "content": content}
    if operation.uploads:
        content = {media_type: {"schema": schema} for media_type, schema in operation.uploads.items()}
        described["requestBody"] = {"required": True, "content": content}
    return described


def _description(operation: Operation[Any, Any]) -> str:
    needs = f"Needs the scope `{operation.scope}`."
    return f"{needs} After `outcome_unknown`: {operation.undecided}" if operation.undecided else needs


def _page(page: Page, schemas: Schemas) -> dict[str, Any]:
    schema = schemas[page.answer, "serialization"] if page.answer else {}
    responses = {"200": _answer(200, page.media_type, schema), "500": _problem(500, schemas)}
    responses |= {str(status): _problem(status, schemas) for status in page.problems}
    return {
        "operationId": re.sub(r"\W+", "_", page.path.strip("/")),
        "summary": page.summary,
        "tags": ["about"],
        "security": [],
        "parameters": [_in_path(name) for name in re.findall(r"{(\w+)}", page.path)],
        "responses": responses,
    }


def _in_path(name: str) -> dict[str, Any]:
    schema = {"type": "string"} | ({"format": "uuid"} if name == "id" else {})
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _query_parameters(model: type[BaseModel]) -> list[dict[str, Any]]:
    schema = model.model_json_schema(mode="validation", ref_template="#/$defs/{model}")
    definitions = schema.get("$defs", {})
    parameters = []
    for name, given in schema.get("properties", {}).items():
        described = _without_null(given)
        if "$ref" in described:
            described = definitions[described["$ref"].rpartition("/")[2]]
        parameter = {"name": name, "in": "query", "schema": _bare(described)}
        if "description" in given:
            parameter["description"] = given["description"]
        parameters.append(parameter)
    return parameters


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter that may be left out is never null; the model's default is what says null."""
    options = [option for option in schema.get("anyOf", [schema]) if option != {"type": "null"}]
    default = {"default": schema["default"]} if schema.get("default") is not None else {}
    stated: dict[str, Any] = options[0]
    return stated | default


def _bare(schema: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in schema.items() if key not in ("title", "description")}


def _header(name: str, header: Header) -> dict[str, Any]:
    schema = {"type": "string", "pattern": header.pattern}
    described = {"schema": schema, "description": header.description}
    return {"name": name, "in": "header", "required": False, **described}


def _answer(status: int, media_type: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": HTTPStatus(status).phrase, "content": {media_type: {"schema": schema}}}


def _problem(status: int, schemas: Schemas) -> dict[str, Any]:
    return _answer(status, MEDIA_TYPE, schemas[ProblemDocument, "serialization"])
