"""A customer-care auto-responder, written against Postback's HTTP API and nothing else of it.

Whoever writes for the first time is greeted; HOURS and ORDER <number> are answered. AGENT, and whatever else
we do not understand, is handed over to a person. Then we keep quiet until that person closes the case, by an
answer of theirs with ``"metadata": {"case": "closed"}``.

It may be killed at any moment and started again. The place in the feed and what we know of a conversation are
committed together, event by event. A reply whose commit was lost is asked for once more under the same
Idempotency-Key, the event's id, and is not sent once more.

    API=http://127.0.0.1:8080/v1 KEY=pb_... python examples/autoresponder.py responder.db
"""

import os
import sqlite3
import sys
import time
from contextlib import closing, suppress
from typing import Any

import httpx

GREETING = "Harbour Bakery, good day! Text HOURS, ORDER and its number, or AGENT for a person."
OPENING = "We are open from 7 to 18, on Sundays from 8 to 12."
HANDOVER = "Thank you. A person will answer you here."
ORDERS = {"1042": "in the oven", "1043": "ready for you"}

#: what a reply may depend on: somebody writes, the files of an MMS have come, somebody of ours writes
HEARD = "message.received,media.stored,media.failed,message.accepted"
#: a request that still runs, too many of them, or the database being away: each passes
PASSING = {409, 429, 500, 502, 503, 504}

SCHEMA = """
CREATE TABLE IF NOT EXISTS place (only INTEGER PRIMARY KEY CHECK (only = 1), cursor TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS conversation (id TEXT PRIMARY KEY, with_person INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS taken (message_id TEXT PRIMARY KEY);
"""


def answer(text: str) -> str | None:
    """What there is to say to *text*, None where we do not understand it."""
    match text.upper().split():
        case ["HOURS"]:
            return OPENING
        case ["ORDER", number] if number in ORDERS:
            return f"Order {number} is {ORDERS[number]}."
        case ["ORDER", number]:
            return f"We know of no order {number}. AGENT brings you a person."
        case ["START"]:
            return GREETING
        case ["AGENT"]:
            return HANDOVER
    return None


class Responder:
    def __init__(self, api: httpx.Client, db: sqlite3.Connection) -> None:
        self.api, self.db = api, db
        db.executescript(SCHEMA)

    def run(self) -> None:
        place = self.place()
        print("listening", flush=True)
        while True:
            page = self.call("GET", "/events", params={"after": place, "type": HEARD, "wait": 25})
            if page.get("reset"):
                self.hand_over_all()
            for event in page["data"]:
                with self.db:  # one transaction
                    self.hear(event)
                    self.keep(event["cursor"])
            place = page["next_cursor"]
            with self.db:
                self.keep(place)

    def place(self) -> str:
        """Where we were in the feed; the first time its end, because old messages are not for us."""
        kept = self.db.execute("SELECT cursor FROM place").fetchone()
        if kept is None:
            kept = [self.call("GET", "/events", params={"after": "now"})["next_cursor"]]
            with self.db:
                self.keep(kept[0])
        return str(kept[0])

    def keep(self, cursor: str) -> None:
        self.db.execute("INSERT OR REPLACE INTO place VALUES (1, ?)", (cursor,))

    def hear(self, event: dict[str, Any]) -> None:
        message = self.call("GET", f"/messages/{event['message_id']}")
        if message is None or message["conversation_id"] is None:
            return
        if message["direction"] == "outbound":
            if message["metadata"].get("case") == "closed":
                self.know(message["conversation_id"], with_person=False)
        elif not any(file["state"] == "pending" for file in message["media"]):
            # the words of an MMS may come as a file; an event tells when we have it, and it leads here again
            taken = self.db.execute("INSERT OR IGNORE INTO taken VALUES (?)", (message["id"],))
            if taken.rowcount:
                self.respond(event, message)

    def respond(self, event: dict[str, Any], message: dict[str, Any]) -> None:
        here = message["conversation_id"]
        known = self.db.execute("SELECT with_person FROM conversation WHERE id = ?", (here,)).fetchone()
        conversation = self.call("GET", f"/conversations/{here}")
        if known == (True,) or conversation is None or conversation["opted_out"]:
            return
        if not conversation["can_reply"]["ok"]:  # a name, a short code: whether that matters, a person sees
            self.know(here, with_person=True)
            return
        said = answer(message["text"] or "") or (HANDOVER if known else "")
        body = {"text": said if known else f"{GREETING} {said}".strip()}
        once = {"Idempotency-Key": event["id"]}
        sent = self.call("POST", f"/conversations/{here}/messages", json=body, headers=once)
        self.know(here, with_person=sent is None or said == HANDOVER)

    def know(self, conversation: str, *, with_person: bool) -> None:
        self.db.execute("INSERT OR REPLACE INTO conversation VALUES (?, ?)", (conversation, with_person))
        if with_person:
            print(f"for a person: conversation {conversation}", flush=True)

    def hand_over_all(self) -> None:
        """Events are gone that nobody tells again: whoever waits for an answer now is a person's."""
        page = {"next_cursor": ""}
        while (cursor := page["next_cursor"]) is not None:
            page = self.call("GET", "/conversations", params={"cursor": cursor} if cursor else {})
            with self.db:
                for conversation in page["data"]:
                    if conversation["waiting_since"]:
                        self.know(conversation["id"], with_person=True)

    def call(self, method: str, path: str, **request: Any) -> Any:
        """The answer, however often we have to ask; None where there is nothing (any more) to ask about."""
        while True:
            pause = 0.5
            with suppress(httpx.TransportError):  # nobody there, or cut off: nothing has happened twice
                found = self.api.request(method, path, **request)
                if found.status_code in (404, 422):
                    print(f"{method} {path}: {found.text}", file=sys.stderr, flush=True)
                    return None
                if found.status_code not in PASSING:
                    return found.raise_for_status().json()
                asked = found.headers.get("retry-after", "")
                pause = float(asked) if asked.isdecimal() else pause  # proxies between us may write a date
            time.sleep(pause)


if __name__ == "__main__":
    headers = {"authorization": f"Bearer {os.environ['KEY']}"}
    with (
        httpx.Client(base_url=os.environ["API"], headers=headers, timeout=40) as client,
        closing(sqlite3.connect(sys.argv[1])) as database,
        suppress(KeyboardInterrupt),
    ):
        Responder(client, database).run()
