"""Message ids as carriers write them."""

import secrets
from time import time

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def ulid() -> str:
    """26 characters, the first ten of them the time in milliseconds (https://github.com/ulid/spec)."""
    number = int(time() * 1000) << 80 | secrets.randbits(80)
    return "".join(_CROCKFORD[number >> shift & 31] for shift in range(125, -1, -5))
