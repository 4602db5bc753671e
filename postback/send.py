"""``postback send``: a sender."""

from postback.start import configured, connected
from postback.worker import until_stopped
from receiver.channel_checks import providers_of
from sender import loop


def send() -> None:
    """Sends what the outbox holds; any number of these may run."""
    settings = connected(configured())
    providers = providers_of(settings)
    until_stopped(settings, lambda stop: loop.run(settings, providers, stop))
