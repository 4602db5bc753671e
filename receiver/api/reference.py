"""The OpenAPI document as one plain HTML page: no script, nothing from elsewhere."""

import json
from collections.abc import Iterator
from html import escape
from typing import Any

from receiver.problems import KINDS

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
code, pre { font: 14px/1.45 ui-monospace, monospace }
pre { background: #f5f5f2; padding: .8rem; overflow-x: auto }
table { border-collapse: collapse; width: 100%; margin: .5rem 0 1rem }
th, td { text-align: left; vertical-align: top; padding: .25rem .8rem .25rem 0 }
th, td { border-bottom: 1px solid #ddd }
td:last-child { min-width: 14rem }
h2 { margin-top: 2.5rem; border-bottom: 2px solid #222 }
nav a { margin-right: 1rem }
@media (prefers-color-scheme: dark) {
    body { background: #1b1b1b; color: #ddd } pre { background: #262626 } a { color: #8ab4f8 }
    th, td { border-color: #444 } h2 { border-color: #ddd }
}
"""


def html(document: dict[str, Any]) -> str:
    info, schemas = document["info"], document["components"]["schemas"]
    body = "\n".join([*_operations(document["paths"]), *_problems(), *_shapes(schemas)])
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{escape(info["title"])} API</title><style>{_STYLE}</style></head><body>
<h1>{escape(info["title"])} API</h1>
<p>{_prose(info["description"])}</p>
<p>Send <code>Authorization: Bearer pb_…</code> with every request to <code>/v1</code>. The same as a program
reads it: <a href="/openapi.json">/openapi.json</a>.</p>
<nav><a href="#operations">Operations</a><a href="#problems">Problems</a><a href="#shapes">Shapes</a></nav>
{body}
</body></html>"""


def _operations(paths: dict[str, Any]) -> Iterator[str]:
    yield '<h2 id="operations">Operations</h2>'
    for path, methods in paths.items():
        for method, operation in methods.items():
            yield f'<h3 id="{operation["operationId"]}"><code>{method.upper()} {escape(path)}</code></h3>'
            yield f"<p>{_prose(operation['summary'])}. {_prose(operation.get('description', ''))}</p>"
            yield from _parameters(operation.get("parameters", []))
            if "requestBody" in operation:
                yield f"<p>Body: {_content(operation['requestBody']['content'])}</p>"
            yield from _answers(operation["responses"])


def _parameters(parameters: list[dict[str, Any]]) -> Iterator[str]:
    if not parameters:
        return
    yield "<table><tr><th>Parameter</th><th>In</th><th>Type</th><th></th></tr>"
    for parameter in parameters:
        cells = (f"<code>{escape(parameter['name'])}</code>", parameter["in"], _type(parameter["schema"]),
                 _prose(parameter.get("description", "")))  # fmt: skip
        yield _row(cells)
    yield "</table>"


def _answers(responses: dict[str, Any]) -> Iterator[str]:
    succeeded = {status: answer for status, answer in responses.items() if status.startswith("2")}
    for status, answer in succeeded.items():
        yield f"<p>Answers {status}: {_content(answer['content'])}. "
    others = ", ".join(sorted(responses.keys() - succeeded.keys()))
    yield f'Else a <a href="#problems">problem</a>: {others}.</p>'


def _problems() -> Iterator[str]:
    yield '<h2 id="problems">Problems</h2><p><code>application/problem+json</code> (RFC 9457), by code:</p>'
    yield "<table><tr><th>Code</th><th>Status</th><th></th></tr>"
    for code, (status, title) in KINDS.items():
        yield _row((f'<code id="{code}">{code}</code>', str(status), escape(title)))
    yield "</table>"


def _shapes(schemas: dict[str, Any]) -> Iterator[str]:
    yield '<h2 id="shapes">Shapes</h2>'
    for name, schema in sorted(schemas.items()):
        yield f'<h3 id="{escape(name)}">{escape(name)}</h3><p>{_prose(schema.get("description", ""))}</p>'
        if "enum" in schema:
            yield f"<p>{_type(schema)}</p>"
            continue
        yield "<table><tr><th>Field</th><th>Type</th><th></th></tr>"
        for field, of in schema.get("properties", {}).items():
            yield _row((f"<code>{escape(field)}</code>", _type(of), _prose(of.get("description", ""))))
        yield "</table>"
        for example in schema.get("examples", []):
            yield f"<pre>{escape(json.dumps(example, indent=2))}</pre>"


def _type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    if "anyOf" in schema:
        return " or ".join(_type(option) for option in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"<code>{escape(str(word))}</code>" for word in schema["enum"])
    if "const" in schema:
        return f"<code>{escape(str(schema['const']))}</code>"
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    return escape(schema.get("format") or schema.get("type") or "any")


def _content(content: dict[str, Any]) -> str:
    return ", ".join(
        _type(of["schema"]) if of["schema"] else media_type for media_type, of in content.items()
    )


def _prose(text: str) -> str:
    """Escaped, with ``code`` between backticks."""
    parts = escape(text).split("`")
    return "".join(f"<code>{part}</code>" if place % 2 else part for place, part in enumerate(parts))


def _row(cells: tuple[str, ...]) -> str:
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"
