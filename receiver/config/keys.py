"""Every key there is, its default and its bounds, from the database's address down to the channels."""

import re
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from receiver.config import mistakes
from receiver.config.channel import ChannelSettings
from receiver.config.values import Listening, Networks, Region, Strings, resolved, without_newline


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
    media_url_days: int = Field(default=7, ge=1, le=3650)
    api_rate: int = Field(default=1000, gt=0)
    keep_alive: int = Field(default=620, gt=0)
    opt_out_scope: Literal["number", "all"] = "number"
    opt_out_groups: list[list[str]] = []
    trusted_proxies: Networks = []
    secret_key: Strings = []
    opt_out_keys: Strings = []
    spool: bool = True
    listen_url: str = ""
    metrics_listen: Listening = ""
    retention: Retention = Retention()
    channels: dict[str, ChannelSettings] = {}

    @model_validator(mode="before")
    @classmethod
    def _read_from_environment(cls, values: Any) -> Any:
        return resolved(values, "")

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
            name: {**without_newline(channel), "name": name} if isinstance(channel, dict) else channel
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
