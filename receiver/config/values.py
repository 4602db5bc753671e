"""What may stand for a value: one where a list is meant, a region, a network, a variable's name."""

import json
import os
import re
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator
from pydantic_settings import NoDecode

from receiver.config.mistakes import ConfigError

Network = IPv4Network | IPv6Network


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


def _credentials(value: Any) -> Any:
    """Each of several secrets, or the only one. An empty one stays what it is: left out, it would open the
    door that it was to close. From the environment a list is JSON; what is none is a secret by itself."""
    if value is None:
        return []
    if not isinstance(value, str):
        return value
    try:
        found = json.loads(value) if value.startswith("[") else None
    except ValueError:
        found = None
    return found if isinstance(found, list) else [value]


def _region(value: str) -> str:
    if not re.fullmatch("[A-Z]{2}", value):
        raise ValueError('a region is two capital letters, such as "US"')
    return value


def _listening(value: str) -> str:
    host, _, port = value.rpartition(":")
    if value and not (host and port.isascii() and port.isdecimal() and 0 < int(port) < 65536):
        raise ValueError('write HOST:PORT, such as "127.0.0.1:9464"')
    return value


def _network(value: Any) -> Any:
    # pydantic's own message for a union names its validators instead of the key
    try:
        return ip_network(str(value))
    except ValueError as error:
        shown = re.fullmatch(r"[0-9a-fA-F.:/]{1,50}", str(value))
        raise ValueError(str(error) if shown else "a network is written as 192.0.2.0/24") from None


Region = Annotated[str, AfterValidator(_region)]
#: ``HOST:PORT``, or empty
Listening = Annotated[str, AfterValidator(_listening)]
Strings = Annotated[list[str], NoDecode, BeforeValidator(_listed)]
#: secrets of which any one will do, so that they can be changed one after the other
Credentials = Annotated[list[str], NoDecode, BeforeValidator(_credentials)]
Networks = Annotated[list[Annotated[Network, BeforeValidator(_network)]], NoDecode, BeforeValidator(_listed)]


def resolved(value: Any, where: str) -> Any:
    """*value* with every ``env:NAME`` in it replaced by that variable's value."""
    if isinstance(value, dict):
        return {key: resolved(item, f"{where}.{key}" if where else key) for key, item in value.items()}
    if isinstance(value, list):
        return [resolved(item, where) for item in value]
    if isinstance(value, str) and value.startswith("env:"):
        name = value.removeprefix("env:")
        if name not in os.environ:
            # whoever writes a secret behind "env:" instead of a name does not want to read it here
            named = (
                f"the environment variable {name}" if re.fullmatch("[A-Z][A-Z0-9_]*", name) else "a variable"
            )
            raise ConfigError(f"{where} is read from {named}, which is not set; set it.")
        return os.environ[name]
    return value


def without_newline(value: Any) -> Any:
    """Returns *value* with a newline less at the end of each text in it: files of secrets end with one."""
    if isinstance(value, dict):
        return {key: without_newline(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_newline(item) for item in value]
    return value.removesuffix("\n").removesuffix("\r") if isinstance(value, str) else value
