"""postback.toml and the environment, read once into one value that never changes.

Every key can be set as ``POSTBACK_<KEY>``, nested with ``__``; a value ``"env:NAME"`` is read from the
environment. A mistake ends in ``ConfigError``, one sentence that names the key and says what to do.
"""

import json
import os
import re
import tomllib
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from receiver import mistakes

DEFAULT_MAX_BODY = 1 << 20

Network = IPv4Network | IPv6Network


class ConfigError(Exception):
    """The configuration cannot be used; the message says why and what to do, in one sentence."""


def _listed(value: Any) -> Any:
    """A list from what a person writes where a list of one is meant; from the environment JSON too."""
    if not isinstance(value, str):
        return value
    if not value.startswith("["):
        return [value] if value else []
    try:
        return json.loads(value)
    except json.JSONDecodeError:
        raise ValueError('a list in the environment is written as JSON: ["one", "two"]') from None


def _region(value: str) -> str:
    if not re.fullmatch("[A-Z]{2}", value):
        raise ValueError('a region is two capital letters, such as "US"')
    return value


def _network(value: Any) -> Any:
    # pydantic's own message for a union names its validators instead of the key
    return ip_network(str(value))


Region = Annotated[str, AfterValidator(_region)]
Strings = Annotated[list[str], NoDecode, BeforeValidator(_listed)]
Networks = Annotated[list[Annotated[Network, BeforeValidator(_network)]], NoDecode, BeforeValidator(_listed)]


class ChannelSettings(BaseModel):
    """One carrier account of ours: where it calls us, and how we call it.

    Keys that only its provider knows (``api_key``, ``base_url``, ...) stay in ``extra``; `receiver.app`
    holds them against what the provider declares.
    """

    model_config = ConfigDict(extra="allow", frozen=True, populate_by_name=True)

    name: str
    provider: str
    tokens: Strings = []
    numbers: Strings = Field(default=[], alias="from")
    default_region: Region | None = None
    rate: float | None = Field(default=None, gt=0)
    expects_reports: bool | None = None
    report_window: int | None = Field(default=None, gt=0)
    basic: str | None = None
    bearer: str | None = None
    webhook_secret: str | None = None
    allow_from: Networks = []
    max_body: int = Field(default=DEFAULT_MAX_BODY, gt=0)
    poll: int = Field(default=0, ge=0)
    opt_out_reply: str = ""
    insecure: bool = False

    @property
    def authenticated(self) -> bool:
        """Whether callers have to prove themselves in a way that every provider can check."""
        return bool(self.tokens or self.basic or self.bearer or self.allow_from)

    @property
    def extra(self) -> dict[str, Any]:
        return self.model_extra or {}

    def option(self, key: str) -> str:
        """A provider's own key as text, empty where the operator left it out."""
        return str(self.extra.get(key) or "")


class Retention(BaseModel):
    """Days that each kind of data is kept; 0 keeps it for ever."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    payloads: int = Field(default=30, ge=0)
    bodies: int = Field(default=90, ge=0)
    messages: int = Field(default=400, ge=0)


class Settings(BaseSettings):
    """The whole configuration; contract: "Configuration" in docs/configuration.md."""

    model_config = SettingsConfigDict(
        env_prefix=mistakes.PREFIX,
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        enable_decoding=True,
    )

    database_url: str = ""
    data_dir: Path = Path(".postback")
    db_schema: str = "postback"
    public_url: str = ""
    default_region: Region = "US"
    private_networks: Networks = []
    media_store: str = ""
    api_rate: int = Field(default=1000, gt=0)
    opt_out_scope: Literal["number", "all"] = "number"
    opt_out_groups: list[list[str]] = []
    trusted_proxies: Networks = []
    secret_key: Strings = []
    spool: bool = True
    listen_url: str = ""
    retention: Retention = Retention()
    channels: dict[str, ChannelSettings] = {}

    @model_validator(mode="before")
    @classmethod
    def _read_from_environment(cls, values: Any) -> Any:
        return _resolved(values, "")

    @field_validator("db_schema")
    @classmethod
    def _check_schema(cls, name: str) -> str:
        # the 63 characters of a Postgres identifier, less what our own names append; pg_ is Postgres's own
        if not re.fullmatch(r"(?!pg_)[a-z_][a-z0-9_]{0,47}", name):
            raise ValueError(
                "use lower-case letters, digits and underscores, 48 at most, without a digit or pg_ in front"
            )
        return name

    @field_validator("opt_out_groups")
    @classmethod
    def _check_groups(cls, groups: list[list[str]]) -> list[list[str]]:
        numbers = [number for group in groups for number in group]
        if len(set(numbers)) < len(numbers):
            raise ValueError("a number stands in it twice")
        return groups

    @field_validator("channels", mode="before")
    @classmethod
    def _name_channels(cls, channels: Any) -> Any:
        if not isinstance(channels, dict):
            return channels
        return {
            name: {**channel, "name": name} if isinstance(channel, dict) else channel
            for name, channel in channels.items()
        }

    @property
    def embedded(self) -> bool:
        """Whether Postback runs its own Postgres."""
        return not self.database_url

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return env_settings, init_settings


def load(path: Path | None = None) -> Settings:
    """Reads the file named by *path* or ``POSTBACK_CONFIG``, else ``postback.toml`` here, else nothing.

    Raises ``ConfigError``.
    """
    named = path or (Path(os.environ["POSTBACK_CONFIG"]) if os.environ.get("POSTBACK_CONFIG") else None)
    values = _read(named or Path("postback.toml"), required=named is not None)
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
    for channel in loaded.channels.values():
        _check_channel(channel)
    if loaded.public_url and urlsplit(loaded.public_url).scheme not in ("http", "https"):
        raise ConfigError(f'public_url must begin with http:// or https://; it is "{loaded.public_url}".')
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


def _resolved(value: Any, where: str) -> Any:
    """*value* with every ``env:NAME`` in it replaced by that variable's value."""
    if isinstance(value, dict):
        return {key: _resolved(item, f"{where}.{key}" if where else key) for key, item in value.items()}
    if isinstance(value, list):
        return [_resolved(item, where) for item in value]
    if isinstance(value, str) and value.startswith("env:"):
        name = value.removeprefix("env:")
        if name not in os.environ:
            raise ConfigError(
                f"{where} is read from the environment variable {name}, which is not set; set it."
            )
        return os.environ[name]
    return value


def _check_channel(channel: ChannelSettings) -> None:
    where = f"channels.{channel.name}"
    if not re.fullmatch(r"(?a)\w[\w.-]{0,63}", channel.name):
        raise ConfigError(
            f'The channel name "{channel.name}" cannot stand in a URL; use letters, digits, "_", "-" '
            'and ".", 64 at most, and neither "-" nor "." in front.'
        )
    for key in ("tokens", "basic", "bearer", "webhook_secret"):
        given = getattr(channel, key)
        if given == "" or (isinstance(given, list) and "" in given):
            raise ConfigError(f"{where}.{key} is empty; give it a value or leave the key out.")
    if channel.basic and ":" not in channel.basic:
        raise ConfigError(f'{where}.basic must be "user:password".')
    if not (channel.authenticated or channel.webhook_secret or channel.insecure):
        raise ConfigError(
            f"{where} has no authentication; give it tokens, basic, bearer, webhook_secret or allow_from, "
            "or say insecure = true."
        )


def _keys(model: type[BaseModel]) -> list[str]:
    return ["schema" if name == "db_schema" else name for name in model.model_fields]
