"""postback.toml and the environment, read once into one value that never changes.

Every key can be set as ``POSTBACK_<KEY>``, nested with ``__``; a value ``"env:NAME"`` is read from the
environment. A mistake ends in ``ConfigError``, one sentence that names the key and says what to do.
"""

from receiver.config.channel import DEFAULT_MAX_BODY, ChannelSettings
from receiver.config.keys import Retention, Settings
from receiver.config.mistakes import ConfigError
from receiver.config.reading import load, settings
from receiver.config.values import Network

__all__ = [
    "DEFAULT_MAX_BODY",
    "ChannelSettings",
    "ConfigError",
    "Network",
    "Retention",
    "Settings",
    "load",
    "settings",
]
