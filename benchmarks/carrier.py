"""A practice carrier that answers after 20 ms and never calls back: ``python -m benchmarks.carrier``."""

import asyncio

from simulator import app
from simulator.accounts import Account

API_KEY = "the-carriers-key-for-benchmarks"
CONTROL_KEY = "the-key-to-the-control-routes"
#: seconds
LATENCY = 0.02
PATH = "/ep/v2/"


def main() -> None:
    account = Account(provider="sinch_mms", api_key=API_KEY, callback_url=None)

    def ready(address: str) -> None:
        print(f"ready {address}", flush=True)

    asyncio.run(app.serve([account], "127.0.0.1", 0, key=CONTROL_KEY, ready=ready))


if __name__ == "__main__":
    main()
