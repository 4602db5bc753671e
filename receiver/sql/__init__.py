"""The SQL functions: what must happen to many messages in one statement, one lock order and one commit.

Each ``*.sql`` file reads and runs as it stands in a schema called ``postback``; at load the schema's
configured name and the constants of `models` take their places.
"""

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

import migrations
from models.base import SCHEMA
from models.errors import SPECIFICITY, ErrorClass
from models.reference import INTERNAL, UNTIMED_INBOUND
from models.status import (
    CONFLICT_BITS,
    CORRELATION_BIT,
    FAILURE_BITS,
    STATUS_BIT,
    SUCCESS_BITS,
    Correlation,
    Status,
)

#: the migrations of the tables
CHANGES = Path(migrations.__file__).parent / "versions"

_FILES = (
    "types",
    "numbers",
    "feed",
    "redactions",
    "append",
    "own_events",
    "optouts",
    "adopt",
    "resolve",
    "templates",
    "conversations",
    "confirmations",
    "ingest",
    "media",
    "submit",
    "outbox",
    "forward",
    "intervene",
    "erase",
    "silence",
    "endings",
    "retention",
    "refold",
    "replay",
)


def _array(words: Iterable[str]) -> str:
    """Lowest first, so that a word's place is its rank."""
    return f"ARRAY[{', '.join(repr(str(word)) for word in words)}]"


_CONSTANTS = {
    ":success_bits": SUCCESS_BITS,
    ":conflict_bits": CONFLICT_BITS,
    ":failure_bits": FAILURE_BITS,
    ":uncertain_bit": STATUS_BIT[Status.UNCERTAIN],
    ":accepted_bit": STATUS_BIT[Status.ACCEPTED],
    ":canceled_bit": STATUS_BIT[Status.CANCELED],
    ":expired_bit": STATUS_BIT[Status.EXPIRED],
    ":rejected_bit": STATUS_BIT[Status.REJECTED],
    ":opted_out_rank": SPECIFICITY[ErrorClass.OPTED_OUT],
    ":queued_bit": STATUS_BIT[Status.QUEUED],
    ":unconfirmed_bit": STATUS_BIT[Status.UNCONFIRMED],
    ":own_id_bit": CORRELATION_BIT[Correlation.OWN_ID],
    ":guessed_bit": CORRELATION_BIT[Correlation.GUESSED],
    ":provider_id_bit": CORRELATION_BIT[Correlation.PROVIDER_ID],
    ":untimed_inbound": UNTIMED_INBOUND,
    ":internal": INTERNAL,
    ":correlation_bits": sum(CORRELATION_BIT.values()),
    ":submitting": int.from_bytes(b"send"),
    ":lowest_rung": STATUS_BIT[Status.SCHEDULED],
    ":ladder": _array(Status),
    ":error_classes": _array(ErrorClass),
}


#: What every PL/pgSQL function is declared with. To a planner that may not read tables from end to end, its
#: statements look expensive, and a server with LLVM would compile them: for seconds, on each connection anew.
#: A function in SQL says so itself where it is called from outside; inside the others it has to be inlined.
_UNCOMPILED = "SET jit = off"

#: stands for its generation: all functions of one come together, and go together
MARKED_TYPE = "event_in"
#: an eighth of the fingerprint, behind every name
_SUFFIX = "_[0-9a-f]{8}$"


class Functions:
    """One generation of the functions and their types: what *directory* declares, over tables as the newest
    of *changes* leaves them. A version that changes either is asked to migrate before it starts.

    In a database each of their names ends with the generation's, so generations stand beside each other, and
    a process of the version before goes on with its own (docs/decisions/0016).
    """

    def __init__(self, directory: Path, changes: Path = CHANGES) -> None:
        texts = [(directory / f"{name}.sql").read_text(encoding="utf-8").strip() for name in _FILES]
        self._text = "\n\n".join(
            _with_constants(text.replace("LANGUAGE plpgsql", f"LANGUAGE plpgsql {_UNCOMPILED}"))
            for text in texts
        )
        self._names = frozenset(
            re.findall(rf"^CREATE (?:FUNCTION|TYPE) {SCHEMA}\.(\w+)", self._text, re.MULTILINE)
        )
        newest = max(path.stem for path in changes.glob("[0-9]*.py"))
        self.generation = sha256(f"{newest}\n{self._text}".encode()).hexdigest()[:8]

    @property
    def mark(self) -> str:
        """The name of the type that stands for the generation, without the schema."""
        return f"{MARKED_TYPE}_{self.generation}"

    def qualified(self, text: str, schema: str) -> str:
        """Returns *text* with every ``postback.name`` in the configured schema, names of functions and their
        types with their generation, and every ``:constant`` with its value."""

        def named(found: re.Match[str]) -> str:
            generation = f"_{self.generation}" if found[1] in self._names else ""
            return f'"{schema}".{found[1]}{generation}'

        return _with_constants(re.sub(rf"\b{SCHEMA}\.([a-z]\w*)", named, text))

    def create_statements(self, schema: str) -> Iterator[str]:
        """Yields one statement each: the driver prepares them, and prepares only one at a time."""
        yield from re.split(r"(?<=;)\n\n(?=--|CREATE)", self.qualified(self._text, schema))
        yield from self.touch_statements(schema)

    def touch_statements(self, schema: str) -> Iterator[str]:
        """Yields what makes this generation the one that was asked for last."""
        yield f"""
            DO $$ BEGIN
                EXECUTE format('COMMENT ON TYPE "{schema}".{self.mark} IS %L',
                               clock_timestamp() AT TIME ZONE 'UTC');
            END $$"""


@lru_cache(maxsize=1)
def ours() -> Functions:
    """The generation of this version of the code."""
    return Functions(Path(__file__).parent)


def qualified(text: str, schema: str) -> str:
    """Returns *text*, a statement of the code's own, with its names as they are in a database: see
    `Functions.qualified`."""
    return _qualified(text, schema)


@lru_cache(maxsize=1024)
def _qualified(text: str, schema: str) -> str:
    return ours().qualified(text, schema)


#: The generations in a schema, the one that was asked for last first. The empty one is of a release that knew
#: no generations; its comment is no time.
GENERATIONS = f"""
    SELECT substr(typname, {len(MARKED_TYPE) + 2}) AS generation FROM pg_type t
    WHERE t.typnamespace = to_regnamespace($1) AND typname ~ '^{MARKED_TYPE}({_SUFFIX[:-1]})?$'
    ORDER BY substring(obj_description(t.oid, 'pg_type') FROM '^[0-9]+-.*$') DESC NULLS LAST, t.oid DESC
    """  # noqa: S608 - constants of ours


def drop_statements(schema: str, generation: str | None = None) -> Iterator[str]:
    """Yields what drops the functions of *generation* and their types; with None, those of all."""
    if generation is None:
        wanted = "true"
    else:
        wanted = f"right(name, 9) = '_{generation}'" if generation else f"name !~ '{_SUFFIX}'"
    yield f"""
        DO $$ DECLARE thing record; BEGIN
            FOR thing IN SELECT oid::regprocedure AS it FROM (
                SELECT p.oid, p.proname AS name FROM pg_proc p
                WHERE p.pronamespace = to_regnamespace('"{schema}"')) named WHERE {wanted} LOOP
                EXECUTE format('DROP FUNCTION %s CASCADE', thing.it);
            END LOOP;
            FOR thing IN SELECT oid::regtype AS it FROM (
                SELECT t.oid, t.typname AS name FROM pg_type t JOIN pg_class c ON c.oid = t.typrelid
                WHERE t.typnamespace = to_regnamespace('"{schema}"') AND c.relkind = 'c') named
            WHERE {wanted} LOOP
                EXECUTE format('DROP TYPE %s CASCADE', thing.it);
            END LOOP;
        END $$"""  # noqa: S608 - the setting allows letters, digits and underscores only


def _with_constants(text: str) -> str:
    return re.sub("|".join(_CONSTANTS), lambda name: str(_CONSTANTS[name[0]]), text)
