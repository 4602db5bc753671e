"""A channel, ``[channels.<name>]``: the keys that every provider has, and what they must be together."""

import re
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from receiver.config.mistakes import ConfigError
from receiver.config.strength import check_tokens
from receiver.config.values import Credentials, Networks, Region, Strings

DEFAULT_MAX_BODY = 1 << 20


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
    basic: Credentials = []
    bearer: Credentials = []
    webhook_secret: Credentials = []
    allow_from: Networks = []
    max_body: int = Field(default=DEFAULT_MAX_BODY, gt=0)
    poll: int = Field(default=0, ge=0)
    uncertain_after: int = Field(default=0, ge=0)
    uncertain_becomes: Literal["failed", "sent", "unconfirmed"] | None = None
    opt_out_reply: str = ""
    insecure: bool = False
    wire_reference: Literal["id", "client_reference"] = "id"

    @property
    def authenticated(self) -> bool:
        """Whether callers have to prove themselves in a way that every provider can check."""
        return bool(self.tokens or self.basic or self.bearer or self.allow_from)

    @property
    def sends_app_reference(self) -> bool:
        """Returns whether the app's own reference goes out, of messages that have one."""
        return self.wire_reference == "client_reference"

    @property
    def extra(self) -> dict[str, Any]:
        return self.model_extra or {}

    def option(self, key: str) -> str:
        """A provider's own key as text, the first one of a list, empty where the operator left it out."""
        return next(iter(self.listed(key)), "")

    def listed(self, key: str) -> list[str]:
        """Returns a provider's own key, of which there may be one or a list, as texts."""
        value = self.extra.get(key) or []
        return [str(one) for one in (value if isinstance(value, list) else [value])]


def check(channel: ChannelSettings) -> None:
    """Raises ``ConfigError``."""
    where = f"channels.{channel.name}"
    if not re.fullmatch(r"(?a)\w[\w.-]{0,63}", channel.name):
        raise ConfigError(
            f'The channel name "{channel.name}" cannot stand in a URL; use letters, digits, "_", "-" '
            'and ".", 64 at most, and neither "-" nor "." in front.'
        )
    for key in ("tokens", "basic", "bearer", "webhook_secret"):
        if "" in getattr(channel, key):
            raise ConfigError(f"{where}.{key} is empty; give it a value or leave the key out.")
    check_tokens(channel.tokens, f"{where}.tokens")
    if channel.uncertain_becomes and not channel.uncertain_after:
        raise ConfigError(
            f"{where}.uncertain_becomes says what becomes of an uncertain message, and nothing says when; "
            "set uncertain_after, in seconds."
        )
    if channel.uncertain_after and not channel.uncertain_becomes:
        raise ConfigError(
            f"{where}.uncertain_after says when an uncertain message is settled, and nothing says as what; "
            'set uncertain_becomes to "failed", "sent" or "unconfirmed".'
        )
    if not all(":" in one for one in channel.basic):
        raise ConfigError(f'{where}.basic must be "user:password".')
    if not (channel.authenticated or channel.webhook_secret or channel.insecure):
        raise ConfigError(
            f"{where} has no authentication; give it tokens, basic, bearer, webhook_secret or allow_from, "
            "or say insecure = true."
        )
