"""The file and the environment, read and held against each other."""

import os
import tomllib
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_settings import SettingsError

from receiver.config import channel, mistakes
from receiver.config.keys import Retention, Settings
from receiver.config.mistakes import ConfigError
from receiver.config.strength import check_secret_keys


def file() -> Path:
    """Returns the path named by ``POSTBACK_CONFIG``, else ``postback.toml`` here."""
    return Path(os.environ.get("POSTBACK_CONFIG") or "postback.toml")


def load() -> Settings:
    """Reads `file`, which may be missing where nobody named it, and the environment.

    Raises ``ConfigError``.
    """
    values = _read(file(), required=bool(os.environ.get("POSTBACK_CONFIG")))
    values.setdefault("database_url", os.environ.get("DATABASE_URL", ""))
    return settings(values)


def settings(values: dict[str, Any]) -> Settings:
    """Settings from plain values, the environment laid over them. Raises ``ConfigError``."""
    # `schema` is a name that pydantic's models keep for themselves
    given = {"db_schema" if key == "schema" else key: value for key, value in values.items()}
    if "POSTBACK_SCHEMA" in os.environ:
        given["db_schema"] = os.environ["POSTBACK_SCHEMA"]
    misspelt = mistakes.of_spelling(os.environ, _keys(Settings))
    if misspelt:
        raise ConfigError(misspelt)
    try:
        loaded = Settings(**given)
    except ValidationError as error:
        raise ConfigError(mistakes.of_validation(error, _keys(Settings), _keys(Retention))) from None
    except SettingsError as error:
        raise ConfigError(mistakes.of_json(error)) from None
    check_secret_keys(loaded.secret_key)
    if not all(loaded.opt_out_keys):
        raise ConfigError("opt_out_keys has an empty key; give it a value or leave it out.")
    for one in loaded.channels.values():
        channel.check(one)
    if loaded.public_url and not loaded.public_url.lower().startswith(("http://", "https://")):
        raise ConfigError("public_url must begin with http:// or https://; write it so.")
    return loaded


def _read(path: Path, *, required: bool) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if required:
            raise ConfigError(
                f"There is no configuration file at {path}; create it or unset POSTBACK_CONFIG."
            ) from None
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path} cannot be read as TOML: {error}.") from None


def _keys(model: type[BaseModel]) -> list[str]:
    return ["schema" if name == "db_schema" else name for name in model.model_fields]
