"""``postback serve`` with a Sinch parser that breaks when it is told to: ``python -m faults.door_poisoned``.

The product's own parsers let nothing through that Postgres refuses, as far as anybody knows. This one does,
and another part of it raises, as the next parser might.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

from models.events import Event, Report, Request
from postback import cli
from receiver.config import ChannelSettings
from receiver.providers import PROVIDERS
from receiver.providers.sinch_mms import SinchMms

#: how a report is spoilt, by the word in its ``operator-id``
WAYS: Mapping[str, Callable[[Report], Report]] = {
    "poison-nul": lambda report: replace(report, provider_message="a\0b"),
    "poison-surrogate": lambda report: replace(report, provider_message="a\ud800b"),
    "poison-range": lambda report: replace(report, part=2**40),
    "poison-type": lambda report: replace(report, provider_code=object()),  # type: ignore[arg-type]
    "poison-index": lambda report: replace(report, recipient="".join(map(chr, range(0x4E00, 0x9E00)))),
}
RAISES = "poison-raises"


class Spoilt(SinchMms):
    """What Sinch says, spoilt on request."""

    def parse(self, request: Request, channel: ChannelSettings) -> list[Event]:
        if RAISES.encode() in request.body:
            raise RuntimeError("as the next parser might")
        events = super().parse(request, channel)
        way = next((way for word, way in WAYS.items() if word.encode() in request.body), None)
        return [way(event) if way and isinstance(event, Report) else event for event in events]


def main() -> None:
    PROVIDERS["sinch_mms"] = Spoilt()
    cli.main()


if __name__ == "__main__":
    main()
