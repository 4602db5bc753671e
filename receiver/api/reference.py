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
h3 code { font-size: 1.05rem }
h2 { margin-top: 2.5rem; border-bottom: 2px solid #222 }
nav > a { margin-right: 1rem } nav ul { margin: 0; padding-left: 1.5rem; list-style: none }
summary { cursor: pointer } h2::first-letter { text-transform: uppercase }
@media (prefers-color-scheme: dark) {
    body { background: #1b1b1b; color: #ddd } pre { background: #262626 } a { color: #8ab4f8 }
    th, td { border-color: #444 } h2 { border-color: #ddd }
}
"""


def html(document: dict[str, Any]) -> str:
    info, schemas = document["info"], document["components"]["schemas"]
    groups = _grouped(document["paths"])
    body = "\n".join([*_groups(groups), *_webhooks(document["webhooks"]), *_problems(), *_shapes(schemas)])
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{escape(info["title"])} API</title><style>{_STYLE}</style></head><body>
<h1>{escape(info["title"])} API</h1>
<p>{_prose(info["description"])}</p>
<p>Send <code>Authorization: Bearer pb_…</code> with every request to <code>/v1</code>. The same as a program
reads it: <a href="/openapi.json">/openapi.json</a>.</p>
<pre>curl -H "Authorization: Bearer $KEY" -H "Content-Type: application/json" \\
    -d '{_example(schemas["SendRequest"])}' $POSTBACK/v1/messages</pre>
{_contents(groups)}
{body}
</body></html>"""


Operations = list[tuple[str, str, dict[str, Any]]]


def _grouped(paths: dict[str, Any]) -> dict[str, Operations]:
    """Path, method and operation, by the noun that they are about."""
    groups: dict[str, Operations] = {}
    for path, methods in paths.items():
        for method, operation in methods.items():
            groups.setdefault(operation["tags"][0], []).append((path, method, operation))
    return groups


def _contents(groups: dict[str, Operations]) -> str:
    items = []
    for tag, operations in groups.items():
        links = "".join(
            f'<li><a href="#{operation["operationId"]}">{method.upper()} {escape(path)}</a></li>'
            for path, method, operation in operations
        )
        title = f'<a href="#{escape(tag)}">{escape(tag)}</a>'
        items.append(f"<details><summary>{title}</summary><ul>{links}</ul></details>")
    others = "".join(f'<a href="#{name.lower()}">{name}</a>' for name in ("Webhooks", "Problems", "Shapes"))
    return f"<nav>{''.join(items)}{others}</nav>"


def _groups(groups: dict[str, Operations]) -> Iterator[str]:
    for tag, operations in groups.items():
        yield f'<h2 id="{escape(tag)}">{escape(tag.capitalize())}</h2>'
        for path, method, operation in operations:
            yield from _operation(f"{method.upper()} {path}", operation)
            yield from _answers(operation["responses"])


def _operation(title: str, operation: dict[str, Any]) -> Iterator[str]:
    yield f'<h3 id="{operation["operationId"]}"><code>{escape(title)}</code></h3>'
    yield f"<p>{_prose(operation['summary'])}. {_prose(operation.get('description', ''))}</p>"
    yield from _parameters(operation.get("parameters", []))
    if "requestBody" in operation:
        yield f"<p>Body: {_content(operation['requestBody']['content'])}</p>"


def _webhooks(webhooks: dict[str, Any]) -> Iterator[str]:
    yield '<h2 id="webhooks">Webhooks</h2>'
    for name, methods in webhooks.items():
        for method, operation in methods.items():
            yield from _operation(f"{method.upper()} {name}", operation)
            yield "<table><tr><th>Your answer</th><th></th></tr>"
            for status, answer in operation["responses"].items():
                yield _row((f"<code>{status}</code>", _prose(answer["description"])))
            yield "</table>"


def _example(schema: dict[str, Any]) -> str:
    return escape(json.dumps(schema["examples"][0]), quote=False)


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
