"""``postback forward``: a forwarder."""

from postback.start import configured, connected
from postback.worker import until_stopped
from receiver import forward as forwarding


def forward() -> None:
    """Posts events to the subscribers; any number of these may run."""
    settings = connected(configured())
    until_stopped(settings, lambda stop: forwarding.run(settings, stop))
