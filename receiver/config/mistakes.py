"""What is wrong with a configuration, in one sentence that names the key and says what to do."""

import difflib
import re
from collections.abc import Iterable, Sequence

from pydantic import ValidationError
from pydantic_settings import SettingsError

PREFIX = "POSTBACK_"
#: variables that are no keys
_OTHERS = ("CONFIG", "LOGS")


class ConfigError(Exception):
    """The configuration cannot be used; the message says why and what to do, in one sentence."""


def of_validation(error: ValidationError, keys: Sequence[str], retention_keys: Sequence[str]) -> str:
    """The first mistake that *error* lists; *keys* are the known ones."""
    first = error.errors()[0]
    where = ".".join(str(step) for step in first["loc"]).replace("db_schema", "schema")
    if first["type"] == "extra_forbidden":
        known = retention_keys if where.startswith("retention.") else keys
        near = difflib.get_close_matches(where.rpartition(".")[2], known, n=1, cutoff=0.0)
        return f'Unknown configuration key "{where}"; the nearest known one is "{near[0]}".'
    if first["type"] == "missing":
        return f'The configuration lacks "{where}"; add it.'
    return f'The configuration key "{where}" is wrong: {first["msg"].removeprefix("Value error, ")}.'


def of_json(error: SettingsError) -> str:
    """A variable that has to hold JSON, and does not."""
    field = re.search(r'field "(\w+)"', str(error))
    name = f"{PREFIX}{field[1].upper()}" if field else "A variable"
    return f"{name} is not JSON ({error.__cause__}); write it as one JSON object."


def of_spelling(names: Iterable[str], keys: Iterable[str]) -> str | None:
    """The first of the environment variables *names* that nearly is one of ours.

    Only nearly: for a service called postback, Kubernetes sets POSTBACK_PORT and more of the kind.
    """
    known = {f"{PREFIX}{key.upper()}" for key in (*keys, *_OTHERS)}
    for name in names:
        plain = name.upper().partition("__")[0]
        if plain.startswith(PREFIX) and plain not in known:
            near = difflib.get_close_matches(plain, known, n=1, cutoff=0.9)
            if near:
                return f"Unknown environment variable {name}; the nearest known one is {near[0]}."
    return None
