"""postback.toml and the environment, read once into one value that never changes.

Every key can be set as ``POSTBACK_<KEY>``, nested with ``__``; a value ``"env:NAME"`` is read from the
environment. A mistake ends in ``ConfigError``, one sentence that names the key and says what to do.
"""

from receiver.config.channel import DEFAULT_MAX_BODY, ChannelSettings
from receiver.config.keys import Retention, Settings
from receiver.config.mistakes import ConfigError
from receiver.config.reading import file, load, settings
from receiver.config.strength import SHORTEST, check_secret_keys
from receiver.config.values import Network

__all__ = [
    "DEFAULT_MAX_BODY",
    "SHORTEST",
    "ChannelSettings",
    "ConfigError",
    "Network",
    "Retention",
    "Settings",
    "check_secret_keys",
    "file",
    "load",
    "settings",
]
