"""The bakery of the example app: installation, auto-responder and practice carrier, all to be killed."""

import signal
import sqlite3
import sys
import time
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any

import httpx

from examples.conversation import BAKERY, CONFIGURATION, RESPONDER
from faults.ports import free_port
from faults.processes import descendants, send
from tests.support.commands import Started, environment, postback, run, started
from tests.support.patience import COMMAND
from tests.support.processes import eventually

#: what the carrier does to every message of ours
FAULTS = {"duplicate": 3, "reordered": True, "early": True}


class Bakery:
    """An installation with the auto-responder beside it. *postback up* starts again what dies under it; the
    practice carrier, the auto-responder and *up* itself are for us to start again."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self._directory, self._stack = directory, stack
        self._ports = {"carrier": free_port(), "up": free_port()}
        carrier, self._url = (f"http://127.0.0.1:{port}" for port in self._ports.values())
        configuration = CONFIGURATION.format(number=BAKERY, carrier=carrier)
        (directory / "postback.toml").write_text(configuration)
        code, practice, errors = run("practice-key", cwd=directory)
        assert 0 == code, errors
        control = {"X-Practice-Key": practice.strip()}
        self.phone = stack.enter_context(httpx.Client(base_url=carrier, headers=control, timeout=COMMAND))
        self._journals: list[list[dict[str, Any]]] = []
        self.processes: dict[str, Started] = {}
        self.start("carrier")
        self.start("up")
        code, key, errors = run("keys", "create", "--name", "bakery", "--scope", "read,send", cwd=directory)
        assert 0 == code, errors
        headers = {"authorization": f"Bearer {key.strip()}"}
        self.desk = stack.enter_context(
            httpx.Client(base_url=f"{self._url}/v1", headers=headers, timeout=COMMAND)
        )
        self._env = environment(API=f"{self._url}/v1", KEY=key.strip())
        self.start("responder")

    def start(self, name: str) -> None:
        port = str(self._ports.get(name))
        if name == "responder":
            command = [sys.executable, str(RESPONDER), "responder.db"]
            running = started(command, cwd=self._directory, env=self._env)
        elif name == "carrier":
            arguments = ("simulate", "--port", port, "--callbacks", self._url)
            running = postback(*arguments, cwd=self._directory)
        else:
            running = postback("up", "--no-simulator", "--port", port, cwd=self._directory)
        self.processes[name] = self._stack.enter_context(running)
        self.processes[name].says("listening" if name == "responder" else "ready ")
        if name == "carrier":
            self._journals.append([])
            self.orders(**FAULTS)

    def kill(self, name: str) -> None:
        """SIGKILL to our own process *name*, or to that kind of process under *up*."""
        if name in self.processes:
            self.processes[name].process.kill()
            self.processes[name].wait()
            return
        pids = [pid for pid, kind in descendants(self.processes["up"].process.pid).items() if kind == name]
        assert pids, f"there is no {name}"
        for pid in pids:
            send(pid, signal.SIGKILL)

    def responder_commits_nothing(self) -> "closing[sqlite3.Connection]":
        """While this is open: who reads in the middle of a transaction keeps others from committing."""
        reading = sqlite3.connect(self._directory / "responder.db", isolation_level=None)
        places = [None]

        def rests() -> bool:
            time.sleep(0.3)
            places.extend(reading.execute("SELECT cursor FROM place"))
            return places[-1] == places[-2]

        assert eventually(rests, COMMAND)
        reading.execute("BEGIN")
        reading.execute("SELECT * FROM place").fetchall()
        return closing(reading)

    def orders(self, **faults: Any) -> None:
        assert self.phone.post("/practice/faults", json=faults).is_success

    def no_more_orders(self) -> None:
        assert self.phone.delete("/practice/faults").is_success
        self.orders(**FAULTS)

    def journal(self) -> list[dict[str, Any]]:
        """Of all lives of the carrier."""
        page = self.phone.get("/practice/journal", params={"limit": 10_000}).raise_for_status()
        self._journals[-1] = page.json()["data"]
        return [entry for journal in self._journals for entry in journal]

    def sent(self, contact: str) -> list[str]:
        """The texts with which the carrier was asked to send something to *contact*."""
        requests = [entry["body"] for entry in self.journal() if entry["kind"] == "request"]
        return [
            request["slide"][0]["message-text"] if "slide" in request else request["body"]
            for request in requests
            if contact.lstrip("+") in str(request.get("to"))
        ]

    def eventually_sent(self, contact: str, text: str) -> None:
        """Returns when the carrier has been asked to; its answer may be still to come."""
        assert eventually(lambda: text in self.sent(contact), COMMAND), f"{text!r} was not sent"

    def hears(self, contact: str, text: str, account: str = "bakery") -> None:
        """*contact* writes; the carrier calls back twice, and goes on until it is answered 200."""
        before = len(self.journal())
        said = {"from": contact, "to": BAKERY, "account": account, "text": text, "repeat": 2}
        assert self.phone.post("/practice/inbound", json=said).is_success

        def taken() -> bool:
            callbacks = [one for one in self.journal()[before:] if one["kind"] == "callback"]
            tries = [one["tries"] for one in callbacks if one["body"].get("from") == contact.lstrip("+")]
            return len(tries) == 2 and all(one and one[-1]["status"] == 200 for one in tries)

        assert eventually(taken, COMMAND), f"{text!r} was not taken"

    def transcript(self, contact: str) -> list[dict[str, Any]]:
        """The conversation with *contact*, oldest first; empty while nobody answers."""
        with suppress(httpx.TransportError):
            found = self.desk.get("/conversations", params={"contact": contact})
            if found.is_success and found.json()["data"]:
                [conversation] = found.json()["data"]
                page = self.desk.get(f"/conversations/{conversation['id']}/messages", params={"limit": 200})
                if page.is_success:
                    return list(reversed(page.json()["data"]))
        return []

    def says(self, contact: str, text: str, status: str = "delivered") -> None:
        """Returns when the newest message to *contact* with *text* has come to *status*."""

        def said() -> bool:
            return any(
                (text, status) == (one["text"], one["status"]) for one in self.transcript(contact)[-3:]
            )

        assert eventually(said, COMMAND), self.transcript(contact)[-3:]

    def writes(self, contact: str, text: str, **fields: Any) -> dict[str, Any]:
        """A person of the bakery answers."""
        place = f"/conversations/{self.transcript(contact)[0]['conversation_id']}/messages"
        answer = self.desk.post(place, json={"text": text, **fields})
        assert 202 == answer.status_code, answer.text
        return dict(answer.json()["data"][0])
