"""SQLAlchemy's expressions as text and an order of values: made once, asked often."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select
from sqlalchemy.dialects.postgresql.asyncpg import dialect

_DIALECT = dialect()  # type: ignore[no-untyped-call]


@dataclass(frozen=True, slots=True)
class Statement:
    """*names* are those of the parameters in their order, *fixed* the values of those that never change."""

    text: str
    names: tuple[str, ...]
    fixed: Mapping[str, Any]

    def values(self, given: Mapping[str, Any]) -> list[Any]:
        return [given[name] if name in given else self.fixed[name] for name in self.names]


def compiled(query: Select[Any]) -> Statement:
    made = query.compile(dialect=_DIALECT)
    return Statement(str(made), tuple(made.positiontup or ()), dict(made.params))
