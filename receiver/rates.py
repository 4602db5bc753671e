"""The rate of an API key: one second's worth of requests at once, and evenly after that."""

import math
import time
from collections import OrderedDict
from dataclasses import dataclass
from uuid import UUID

from receiver.problems import Code, Problem

#: keys whose rate is remembered
REMEMBERED_KEYS = 10_000


@dataclass(frozen=True, slots=True)
class Allowance:
    """The rest of a key's rate after a request."""

    rate: int
    remaining: int
    wait: float

    @property
    def headers(self) -> dict[str, str]:
        """draft-ietf-httpapi-ratelimit-headers: the policy, what is left, seconds until there is more."""
        return {
            "RateLimit-Policy": f'"default";q={self.rate};w=1',
            "RateLimit": f'"default";r={self.remaining};t={max(1, math.ceil(self.wait))}',
        }


class Rates:
    """Counts the requests of each key, *rate* a second; the memory is that of one process."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._buckets: OrderedDict[UUID, tuple[float, float]] = OrderedDict()

    def spend(self, key_id: UUID) -> Allowance:
        """Takes one request out of the bucket of the key. Raises ``Problem`` (429) when it is empty.

        The bucket holds one second's worth of requests and fills evenly.
        """
        now = time.monotonic()
        tokens, since = self._buckets.pop(key_id, (float(self._rate), now))
        tokens = min(float(self._rate), tokens + (now - since) * self._rate)
        left = tokens - 1 if tokens >= 1 else tokens
        self._buckets[key_id] = (left, now)
        if len(self._buckets) > REMEMBERED_KEYS:
            self._buckets.popitem(last=False)
        allowance = Allowance(self._rate, int(left), max(0.0, (1 - left) / self._rate))
        if tokens < 1:
            raise Problem(
                Code.TOO_MANY_REQUESTS,
                f"This API key may make {self._rate} requests per second.",
                headers={"Retry-After": str(max(1, math.ceil(allowance.wait))), **allowance.headers},
            )
        return allowance
