"""``make example``: the auto-responder at work, with a practice carrier for the world outside.

Starts an installation in a scratch directory and the auto-responder beside it, lets a customer and somebody
of the bakery talk, prints what Postback kept of it, and stops everything.
"""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx

BAKERY, CUSTOMER = "+18885550100", "+12065550123"
#: who says what, and which status the conversation's last message comes to: ours, or the customer's own
SCRIPT = [
    ("customer", "Hi!", "delivered"),
    ("customer", "hours", "delivered"),
    ("customer", "Order 1042", "delivered"),
    ("customer", "I ordered two of these, and only one came", "delivered"),
    ("customer", "Is anybody there?", "received"),
    ("person", "This is Kim. I put the other one into the oven for you.", "delivered"),
    ("customer", "That is kind of you", "received"),
    ("person, closing the case", "It is ready at five. Until then!", "delivered"),
    ("customer", "HOURS", "delivered"),
    ("customer", "STOP", "received"),
    ("customer", "Order 1043", "received"),
    ("person", "Your order is ready.", "rejected"),
]
CONFIGURATION = """
private_networks = ["127.0.0.1/32"]  # the practice carrier keeps the files of MMS there

[channels.bakery]
provider        = "sinch_sms"
tokens          = ["a-token-to-practise-with"]
from            = ["{number}"]
service_plan_id = "practice"
api_token       = "practice-key"
base_url        = "{carrier}"

[channels.bakery-mms]
provider = "sinch_mms"
tokens   = ["another-token-to-practise-with"]
from     = ["{number}"]
api_key  = "practice-key"
base_url = "{carrier}/ep/v2/"
"""
#: no settings of somebody's own, least of all a database
ENVIRONMENT = {
    name: value for name, value in os.environ.items() if not name.startswith(("POSTBACK_", "DATABASE_URL"))
}
RESPONDER = Path(__file__).with_name("autoresponder.py")
#: seconds for anything that is waited for
PATIENCE = 60.0


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="postback-example-") as scratch, ExitStack() as stack:
        directory = Path(scratch)
        carrier, bakery = (f"http://127.0.0.1:{port}" for port in (free_port(), free_port()))
        configuration = CONFIGURATION.format(number=BAKERY, carrier=carrier)
        (directory / "postback.toml").write_text(configuration, encoding="utf-8")

        def start(*arguments: str, says: str, **env: str) -> None:
            stack.enter_context(running(arguments, says, directory, env))

        print("A database, the receiver, the sender, a practice carrier and the auto-responder start ...")
        _, _, port = carrier.rpartition(":")
        start("-m", "postback", "simulate", "--port", port, "--callbacks", bakery, says="ready")
        _, _, port = bakery.rpartition(":")
        start("-m", "postback", "up", "--no-simulator", "--port", port, says="ready")
        key = subprocess.check_output(
            [sys.executable, "-m", "postback", "keys", "create", "--name", "bakery", "--scope", "read,send"],
            cwd=directory, env=ENVIRONMENT, text=True,
        ).strip()  # fmt: skip
        practice = subprocess.check_output(
            [sys.executable, "-m", "postback", "practice-key"], cwd=directory, env=ENVIRONMENT, text=True
        ).strip()
        start(str(RESPONDER), "responder.db", says="listening", API=f"{bakery}/v1", KEY=key)
        with (
            httpx.Client(base_url=carrier, headers={"X-Practice-Key": practice}, timeout=PATIENCE) as phone,
            httpx.Client(base_url=f"{bakery}/v1", headers={"authorization": f"Bearer {key}"}) as desk,
        ):
            talk(phone, desk)


def talk(phone: httpx.Client, desk: httpx.Client) -> None:
    """Has `SCRIPT` said, and prints what everybody said as soon as it is at rest."""
    shown = 0
    for who, text, status in SCRIPT:
        answered = who == "customer" and status != "received"
        if who == "customer":
            said = {"from": CUSTOMER, "to": BAKERY, "account": "bakery", "text": text}
            phone.post("/practice/inbound", json=said).raise_for_status()
        else:
            here = messages(desk)[0]["conversation_id"]
            closes = {"case": "closed"} if "closing" in who else {}
            desk.post(f"/conversations/{here}/messages", json={"text": text, "metadata": closes})
        deadline = time.monotonic() + PATIENCE
        while len(found := messages(desk)) < shown + 1 + answered or found[0]["status"] != status:
            if time.monotonic() > deadline:
                raise SystemExit(f"{text!r} did not come to {status!r}")
            time.sleep(0.1)
        for message in reversed(found[: len(found) - shown]):
            print(line(message), flush=True)
        shown = len(found)


def line(message: dict[str, Any]) -> str:
    if message["direction"] == "inbound":
        return f"  {message['created_at'][11:19]}  customer  {message['text']}"
    why = f", {message['error']['class']}" if message["error"] else ""
    return f"  {message['created_at'][11:19]}  bakery    {message['text']}  ({message['status']}{why})"


def messages(desk: httpx.Client) -> list[dict[str, Any]]:
    """What was said, the newest first."""
    [*found] = desk.get("/conversations", params={"contact": CUSTOMER}).raise_for_status().json()["data"]
    if not found:
        return []
    page = desk.get(f"/conversations/{found[0]['id']}/messages", params={"limit": 200}).raise_for_status()
    return list(page.json()["data"])


@contextmanager
def running(arguments: tuple[str, ...], says: str, directory: Path, env: dict[str, str]) -> Iterator[None]:
    """Python with *arguments*, from when it *says* so until it is no longer needed."""
    with (directory / "log").open("ab") as log:
        process = subprocess.Popen(  # noqa: S603
            [sys.executable, *arguments], cwd=directory, env={**ENVIRONMENT, **env},
            stdout=subprocess.PIPE, stderr=log, text=True,
        )  # fmt: skip
    try:
        if not (process.stdout and process.stdout.readline().startswith(says)):
            raise SystemExit(f"{arguments} did not start:\n{(directory / 'log').read_text()}")
        yield
    finally:
        process.terminate()
        process.communicate()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()
