"""The SQL functions: what must happen to many messages in one statement, one lock order and one commit.

Each ``*.sql`` file reads and runs as it stands in a schema called ``postback``; at load the schema's
configured name and the constants of `models` take their places.
"""

import re
from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path

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

_FILES = (
    "types",
    "numbers",
    "feed",
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

#: carries the fingerprint of the functions that stand in a database
MARKED_TYPE = "event_in"
MARK = "SELECT obj_description(to_regtype(:type)::oid, 'pg_type')"


def fingerprint() -> str:
    """Of all statements that `create_statements` yields, whatever the schema is called."""
    return sha256("".join(_statements(SCHEMA)).encode()).hexdigest()


def qualified(text: str, schema: str) -> str:
    """*text* with every ``postback.name`` in the configured schema and every ``:constant`` its value."""
    text = re.sub(rf"\b{SCHEMA}\.(?=[a-z])", f'"{schema}".', text)
    return re.sub("|".join(_CONSTANTS), lambda name: str(_CONSTANTS[name[0]]), text)


def create_statements(schema: str) -> Iterator[str]:
    """One statement each: the driver prepares them, and prepares only one at a time."""
    yield from _statements(schema)
    yield f"COMMENT ON TYPE \"{schema}\".{MARKED_TYPE} IS '{fingerprint()}'"


def _statements(schema: str) -> Iterator[str]:
    for name in _FILES:
        text = (Path(__file__).parent / f"{name}.sql").read_text(encoding="utf-8")
        text = text.replace("LANGUAGE plpgsql", f"LANGUAGE plpgsql {_UNCOMPILED}")
        yield from re.split(r"(?<=;)\n\n(?=--|CREATE)", qualified(text, schema))


def drop_statements(schema: str) -> Iterator[str]:
    """Drops every function and free-standing composite type of the schema."""
    yield f"""
        DO $$ DECLARE thing record; BEGIN
            FOR thing IN SELECT p.oid::regprocedure AS name FROM pg_proc p
                         JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = '{schema}' LOOP
                EXECUTE format('DROP FUNCTION %s CASCADE', thing.name);
            END LOOP;
            FOR thing IN SELECT t.oid::regtype AS name FROM pg_type t
                         JOIN pg_namespace n ON n.oid = t.typnamespace JOIN pg_class c ON c.oid = t.typrelid
                         WHERE n.nspname = '{schema}' AND c.relkind = 'c' LOOP
                EXECUTE format('DROP TYPE %s CASCADE', thing.name);
            END LOOP;
        END $$"""  # noqa: S608 - the setting allows letters, digits and underscores only
