"""A database's address as people write it, taken apart into libpq's parameters.

Understood are ``postgresql://`` and ``postgres://`` URLs, with whatever driver SQLAlchemy appends to the
scheme, several hosts in libpq's and in SQLAlchemy's manner, and libpq's ``host=… dbname=…``.
"""

import difflib
import re
from collections.abc import Iterator
from urllib.parse import unquote

from receiver.db.errors import DatabaseError
from receiver.db.words import ALIASES, KNOWN, TRUTH

_SCHEME = re.compile(r"(?i)\s*postgres(?:ql)?(?:\+\w+)?://")
_PAIR = re.compile(
    r"\s*(?P<key>\w+)\s*=\s*(?:'(?P<quoted>(?:[^'\\]|\\.)*)'|(?P<plain>(?:[^\s'\\]|\\.)*))(?=\s|$)"
)

_FORMS = "postgresql://user:password@host:5432/database?sslmode=require"
CUT = "The database's URL cannot be taken apart; write / as %2F, ? as %3F and @ as %40 in its password."


def parameters(given: str) -> dict[str, str]:
    """Returns *given* as libpq's parameters; ``host`` and ``port`` are lists with commas.

    A parameter of the query counts more than the same before it, as in libpq. Raises ``DatabaseError``: what
    is not understood, and never the password.
    """
    scheme = _SCHEME.match(given)
    found = _of_url(given[scheme.end() :].strip()) if scheme else _of_pairs(given)
    for name in found:
        if name not in KNOWN:
            raise DatabaseError(
                f"The database's URL has a parameter {_shown(name, given)} that nobody knows; the nearest "
                f"known is {_nearest(name)}, and settings of the server go into options=-c name=value."
            )
    if "ssl" in found:
        found["ssl"] = TRUTH.get(found["ssl"].lower(), found["ssl"])
    return {ALIASES.get(name, name): value for name, value in found.items()}


def is_perhaps_cut(given: str) -> bool:
    """Returns whether *given* is a URL with an @ behind its hosts, where a password that is not encoded has
    one as well as a parameter may."""
    return bool(_SCHEME.match(given)) and "@" in given.partition("?")[2]


def _of_url(rest: str) -> dict[str, str]:
    rest, _, query = rest.partition("?")
    authority, _, path = rest.partition("/")
    credentials, _, places = authority.rpartition("@")
    if "@" in path or (not credentials and "@" in query and _is_cut(places)):
        raise DatabaseError(CUT)
    found: dict[str, str] = {}
    user, _, password = credentials.partition(":")
    hosts, ports = _places(places)
    given = {"user": unquote(user), "password": unquote(password), "dbname": unquote(path), "host": hosts}
    found.update({name: value for name, value in given.items() if value})
    if ports.strip(","):
        found["port"] = ports
    return found | dict(_of_query(query))


def _is_cut(places: str) -> bool:
    """Whether the password holds a character that ends the hosts: what precedes it is no port."""
    _, colon, port = places.rpartition(":")
    return bool(colon) and not places.endswith("]") and not port.isdigit()


def _of_query(query: str) -> Iterator[tuple[str, str]]:
    repeated: list[str] = []
    for pair in filter(None, query.split("&")):
        name, equals, value = pair.partition("=")
        name, value = unquote(name).lower(), unquote(value)
        if not equals:
            raise DatabaseError(
                f"The database's URL has a parameter {_shown(name, query)} without a value; add =value."
            )
        if name == "host":
            repeated.append(value)  # SQLAlchemy's manner: host=a:1&host=b:2
        else:
            yield name, value
    if repeated:
        hosts, ports = _places(",".join(repeated))
        yield "host", hosts
        if ports.strip(","):
            yield "port", ports


def _places(text: str) -> tuple[str, str]:
    """Returns the hosts and the ports of ``a:1,b:2``, each as a list with commas."""
    pairs = [_place(one) for one in text.split(",")] if text else []
    return ",".join(host for host, _ in pairs), ",".join(port for _, port in pairs)


def _place(text: str) -> tuple[str, str]:
    bracketed = re.fullmatch(r"\[([^\]]+)\](?::(\d*))?", text)
    if bracketed:
        return bracketed[1], bracketed[2] or ""
    if text.startswith("/") or text.count(":") > 1:
        return text, ""  # a socket's directory, an IPv6 address
    host, _, port = text.partition(":")
    return unquote(host), unquote(port)


def _of_pairs(given: str) -> dict[str, str]:
    found, place = {}, 0
    given = given.strip()
    while place < len(given):
        pair = _PAIR.match(given, place)
        if not pair:
            raise DatabaseError(
                f"The database's URL is neither a URL nor name=value pairs; write database_url as {_FORMS}."
            )
        value = pair["plain"] if pair["quoted"] is None else pair["quoted"]
        found[pair["key"].lower()] = re.sub(r"\\(.)", r"\1", value)
        place = pair.end()
    return found


def _nearest(name: str) -> str:
    return difflib.get_close_matches(name, sorted(KNOWN), n=1, cutoff=0.0)[0]


def _shown(name: str, given: str) -> str:
    """Returns *name* where it looks like a parameter. Behind a password that is one itself, whatever stands
    there may be the rest of it."""
    alone = re.fullmatch(r"[a-z][a-z_]{0,40}", name) and not re.search(r"(?i)password\s*=", given)
    return name if alone else "of another form"
