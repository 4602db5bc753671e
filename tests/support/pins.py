"""What the two locks name."""

import re

from tests.support.processes import ROOT

RUNS, DEVELOPS = "requirements.lock", "requirements-dev.lock"

#: a pin with its marker, and the lines of its hashes
PIN = re.compile(
    r"^([a-z0-9-]+)==(\S+)(?: ; .+?)? \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", re.MULTILINE
)


def text(lock: str) -> str:
    return (ROOT / lock).read_text(encoding="utf-8")


def pins(lock: str) -> dict[str, str]:
    """Returns the version of each package of a lock."""
    return {name: version for name, version, _ in PIN.findall(text(lock))}
