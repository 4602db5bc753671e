"""The least length of secrets that the operator makes up: callback tokens and secret keys.

Keys and secrets that a carrier gave out are taken as they are.
"""

from collections.abc import Sequence

from receiver.config.mistakes import ConfigError

#: characters; a shorter one can be guessed
SHORTEST = 16


def check_tokens(tokens: Sequence[str], where: str) -> None:
    """Raises ``ConfigError`` where one of *tokens*, the value of the key *where*, is too short."""
    if any(len(token) < SHORTEST for token in tokens):
        raise ConfigError(
            f"{where} lists a token that is shorter than {SHORTEST} characters and can be guessed; make one "
            "with: postback channels token"
        )


def check_secret_keys(keys: Sequence[str]) -> None:
    """Raises ``ConfigError`` where one of *keys* is empty, or the first one is too short.

    Keys behind the first make nothing any more. An old, short one may stand there until `postback secrets
    rotate` has seen to what was made with it.
    """
    if not all(keys):
        raise ConfigError("secret_key is empty; make one with: postback secrets key")
    if keys and len(keys[0]) < SHORTEST:
        raise ConfigError(
            f"secret_key is shorter than {SHORTEST} characters and can be guessed; make one with: postback "
            "secrets key, list it in front of the old one and run: postback secrets rotate"
        )
