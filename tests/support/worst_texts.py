"""Texts that a pattern likes least, made of the pattern itself, and how the product uses it."""

import ast
import importlib
import pkgutil
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from re import _constants as op
from re import _parser
from typing import Any

PACKAGES = ("models", "receiver", "sender", "postback")
#: what separates and brackets in numbers, addresses, forms, JSON, headers and error messages
SEPARATORS = (
    " ", "\n", "0", "+", "-", "(", "[", "{", "<", "'", '"', "\\", "/", "%20", "=", "&", ",", ";", ":", ".",
    "@", "a", "A1", "()", "[]", "= ", "a=", "; ", "\u0301", "\u00e9",
)  # fmt: skip
_WAYS, _STEPS = 16, 14
_SEARCHING = ("search", "sub", "split", "findall", "finditer")
_CATEGORIES = {
    op.CATEGORY_DIGIT: "0",
    op.CATEGORY_SPACE: " ",
    op.CATEGORY_WORD: "a",
    op.CATEGORY_NOT_DIGIT: "a",
    op.CATEGORY_NOT_SPACE: "a",
    op.CATEGORY_NOT_WORD: "-",
}


@dataclass(frozen=True)
class Used:
    """A compiled pattern, where it stands, and whether it is searched for, matched or fully matched."""

    name: str
    pattern: re.Pattern[Any]
    method: str

    def run(self, text: str) -> None:
        given = text.encode("utf-8", "replace") if isinstance(self.pattern.pattern, bytes) else text
        if self.method in ("match", "fullmatch"):
            getattr(self.pattern, self.method)(given)
        else:
            for _ in self.pattern.finditer(given):
                pass


def every_pattern() -> list[Used]:
    """Returns those that modules hold, in tables as well, and those that are written into calls of `re`."""
    found: list[Used] = []
    for package in PACKAGES:
        for info in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
            if info.name.endswith("__main__"):
                continue
            module = importlib.import_module(info.name)
            source = Path(str(module.__file__)).read_text(encoding="utf-8")
            for name, value in vars(module).items():
                found += [
                    Used(f"{info.name}.{name} {pattern.pattern!r}", pattern, method)
                    for pattern in _patterns_in(value)
                    for method in sorted(_methods(name, source))
                ]
            found += _inline(info.name, source)
    return list({(used.pattern, used.method): used for used in found}.values())


def _patterns_in(value: Any, depth: int = 0) -> Iterator[re.Pattern[Any]]:
    if isinstance(value, re.Pattern):
        yield value
    elif isinstance(value, dict | list | tuple | set | frozenset) and depth < 4:
        for item in value.values() if isinstance(value, dict) else value:
            yield from _patterns_in(item, depth + 1)


def _methods(name: str, source: str) -> set[str]:
    """How the module calls the pattern *name*; of one whose use cannot be told, the way that costs most."""
    called = set(re.findall(rf"\b{name}(?:\[\w+\])?\.(\w+)\(", source))
    return called & {"match", "fullmatch", *_SEARCHING} or {"finditer"}


def _inline(module: str, source: str) -> Iterator[Used]:
    for node in ast.walk(ast.parse(source)):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args):
            continue
        first, owner = node.args[0], node.func.value
        named = isinstance(owner, ast.Name) and owner.id == "re"
        if (
            named
            and isinstance(first, ast.Constant)
            and node.func.attr in ("match", "fullmatch", *_SEARCHING)
        ):
            written: Any = first.value
            yield Used(f"{module} {written!r}", re.compile(written), node.func.attr)


def against(pattern: re.Pattern[Any]) -> list[Callable[[int], str]]:
    """Returns makers of texts of a given length: what begins as *pattern* matches, at every step of it, and
    goes on with one thing for ever, or is itself repeated; each with an end that does not match."""
    text = pattern.pattern
    if isinstance(text, bytes):
        text = text.decode("latin-1")
    makers: dict[tuple[str, str], None] = {("", one): None for one in SEPARATORS}
    for way in islice(_ways(list(_parser.parse(text, pattern.flags & ~re.DEBUG))), _WAYS):
        units = sorted({sample for item in way if (sample := _sample([item], extra=1))})[:10]
        begun = ""
        for item in way[:_STEPS]:
            begun += _sample([item])
            for unit in (*units, " ", "0"):
                makers[begun, unit] = None
            if begun:
                makers["", begun] = None
                makers["", f"{begun} "] = None
    return [begun_with(begun, unit) for begun, unit in makers]


def filled(unit: str) -> Callable[[int], str]:
    return begun_with("", unit)


def begun_with(begun: str, unit: str) -> Callable[[int], str]:
    """Returns a maker of texts that begin with *begun*, go on with *unit* and end otherwise."""

    def made(size: int) -> str:
        return f"{begun}{unit * (size // len(unit))}\x01"[: size + len(begun)]

    made.__doc__ = f"{begun!r} and {unit!r} for ever"
    return made


def _ways(items: list[Any]) -> Iterator[list[Any]]:
    """*items* of a parsed pattern without groups and alternatives, one list for each alternative."""
    for at, (kind, given) in enumerate(items):
        before, after = items[:at], items[at + 1 :]
        if kind is op.SUBPATTERN:
            inner: Iterable[list[Any]] = [list(given[3])]
        elif kind is op.ATOMIC_GROUP:
            inner = [list(given)]
        elif kind is op.BRANCH:
            inner = [list(branch) for branch in given[1]]
        else:
            continue
        for one in inner:
            yield from _ways([*before, *one, *after])
        return
    yield items


def _sample(items: Iterable[Any], extra: int = 0) -> str:
    """A short text that *items* match, with *extra* repetitions where they may repeat."""
    return "".join(_of_one(kind, given, extra) for kind, given in items)


def _of_one(kind: Any, given: Any, extra: int) -> str:
    if kind is op.LITERAL:
        return chr(given)
    if kind is op.NOT_LITERAL:
        return "a" if given != ord("a") else "b"
    if kind is op.IN:
        return _of_class(given)
    if kind is op.ANY:
        return "a"
    if kind in (op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT):
        times: int = min(given[0] + extra, max(int(given[1]), 1), 40)
        return _sample(given[2], extra) * times
    if kind is op.SUBPATTERN:
        return _sample(given[3], extra)
    if kind is op.BRANCH:
        return _sample(given[1][0], extra)
    return _sample(given, extra) if kind is op.ATOMIC_GROUP else ""


def _of_class(members: list[Any]) -> str:
    if members[0][0] is op.NEGATE:
        pattern = "".join(map(_written, members[1:]))
        return next((one for one in "a0 -/(\n" if not re.match(f"[{pattern}]", one)), "a")
    kind, given = members[0]
    if kind is op.LITERAL:
        return chr(given)
    return chr(given[0]) if kind is op.RANGE else _CATEGORIES.get(given, "a")


def _written(member: Any) -> str:
    kind, given = member
    if kind is op.LITERAL:
        return re.escape(chr(given))
    if kind is op.RANGE:
        return f"{re.escape(chr(given[0]))}-{re.escape(chr(given[1]))}"
    return {"0": r"\d", " ": r"\s", "a": r"\w"}.get(_CATEGORIES.get(given, ""), "")
