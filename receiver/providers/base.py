"""What a provider is: tables, declared facts and a few pure functions. Each carrier's file subclasses it."""

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from models.errors import ErrorClass
from models.events import Event, Request, Unreadable
from models.sends import Answer, Call, Fate, Hosted, Outcome, OutgoingMedia, Problem, Submission
from models.status import Status
from receiver.config import ChannelSettings
from receiver.providers import answers

#: what a credential may be to stand in a header: visible ASCII. A blank inside could travel, but no carrier
#: gives out a key with one
HEADER_KEY = re.compile("[!-~]*")
#: the key of a channel for where the carrier reports to; every other address among its keys is the carrier's
CALLBACK_KEY = "callback_url"


#: the key of a channel for what becomes of files that its carrier will not be able to fetch
MEDIA_CHECK = "media_check"
#: its values: the send is refused, or warned of on its timeline; nobody looks
MEDIA_CHECKS = ("refuse", "warn", "off")


class Provider(ABC):
    """A carrier's words, both ways. No method touches a socket, a clock or a table."""

    #: the value of ``provider`` in a channel's configuration
    name: ClassVar[str]
    #: what the channel carries: ``sms``, ``mms`` or both
    kinds: ClassVar[frozenset[str]]
    #: the channel's own configuration keys with their defaults
    keys: ClassVar[Mapping[str, Any]]
    #: those of them without which the carrier takes no call; they are shown to nobody
    credentials: ClassVar[tuple[str, ...]] = ("api_key",)
    #: the carrier's word or code -> our status; a word that is missing here is kept and has none
    statuses: ClassVar[Mapping[str, Status]]
    #: the carrier's error code -> our error class; a code that is missing here is ``unknown``
    errors: ClassVar[Mapping[str, ErrorClass]]
    #: whether the carrier sends our reference back in its reports
    echoes_reference: ClassVar[bool] = False
    #: the kinds of message whose call has a field for a reference of ours
    reference_kinds: ClassVar[frozenset[str]] = frozenset()
    #: the lists that are polled, each by itself
    lists: ClassVar[tuple[str, ...]] = ("",)
    #: whether its answers name the messages; where they don't, reports are matched by numbers and time
    gives_ids: ClassVar[bool] = True
    #: whether delivery reports come at all; the channel's ``expects_reports`` overrides it
    expects_reports: ClassVar[bool] = True
    #: seconds after which a silent message is ``unconfirmed``; the channel's ``report_window`` overrides it
    report_window: ClassVar[int] = 72 * 3600
    #: seconds that ``expires_at`` may lie ahead, None without a limit; the caller, who has a clock, checks it
    max_expiry: ClassVar[int | None] = None
    #: the same for the times among a send's options, by the option's name
    max_option_ahead: ClassVar[Mapping[str, int]] = {}
    #: the options of a send in which a sender stands, beside the one that it goes out from
    sender_options: ClassVar[tuple[str, ...]] = ()
    #: whether a file of a type that nobody knows cannot be sent
    needs_types: ClassVar[bool] = False
    #: whether an MMS may be a text alone
    mms_of_text: ClassVar[bool] = False
    #: whether an MMS is made of slides, each with a text of its own
    has_slides: ClassVar[bool] = False
    #: whether messages can be stored with the carrier and sent by id
    saves_templates: ClassVar[bool] = False

    #: calls per second that the carrier allows an account; the channel's ``rate`` overrides it
    rate: ClassVar[float | None] = None
    #: the region of numbers written without a country, where neither channel nor request names one
    region: ClassVar[str | None] = None
    #: whether its callbacks are signed with the channel's ``webhook_secret``
    verifies_signatures: ClassVar[bool] = False
    #: how many recipients one call may have; with more than one, reports come per recipient
    recipients_per_call: ClassVar[int] = 1
    #: whether files go out inside the call, instead of by an address where the carrier fetches them
    takes_files: ClassVar[bool] = False

    def addresses(self, channel: ChannelSettings) -> list[str]:
        """Returns every address at which the carrier is called for *channel*, as the operator wrote it."""
        urls = [key for key in self.url_keys() if key != CALLBACK_KEY]
        return [channel.option(key) or str(self.keys[key]) for key in urls]

    def fetches(self, media: OutgoingMedia) -> bool:
        """Returns whether the carrier fetches *media* itself, from its address."""
        return not self.takes_files

    def url_keys(self) -> list[str]:
        """Returns the channel's own keys that hold addresses, of the carrier or of ours."""
        return [key for key in self.keys if "url" in key]

    def carries(self, channel: ChannelSettings, key: str) -> bool:
        """Returns whether a call can carry the credential *key*, as *channel* has it, in its headers."""
        return HEADER_KEY.fullmatch(channel.option(key)) is not None

    def looks(self, channel: ChannelSettings) -> bool:
        """Returns whether files that the carrier fetches are looked at before they are sent."""
        return MEDIA_CHECK in self.keys and channel.option(MEDIA_CHECK) != "off"

    def judge(self, hosted: Hosted) -> str | None:
        """Returns why the carrier's document says that a file will fail whose server says so of it, in words
        that follow "file 1"; None where it does not."""
        return None

    def misconfigured(self, channel: ChannelSettings) -> str | None:
        """What is wrong with the channel's own keys, in a sentence that names the key; None if nothing is."""
        return None

    def authenticate(self, request: Request, channel: ChannelSettings) -> bool:
        """The provider's own check, beyond the channel's token, credentials and addresses."""
        return True

    @abstractmethod
    def parse(self, request: Request, channel: ChannelSettings) -> list[Event]:
        """Everything that the request tells, in its order. Raises ``Unreadable`` for a body without sense."""

    def acknowledge(self) -> tuple[int, bytes]:
        """The HTTP status and JSON body that the carrier takes for success."""
        return 200, b'{"status":"ok"}'

    @abstractmethod
    def check(self, submission: Submission, channel: ChannelSettings) -> list[Problem]:
        """The carrier's limits that *submission* breaks; nothing is queued while there is one."""

    def advise(self, submission: Submission, channel: ChannelSettings) -> list[Problem]:
        """Returns what the carrier advises against or does not promise, of a *submission* that breaks none of
        its limits, to all of its ``recipients``: it is sent all the same."""
        return []

    @abstractmethod
    def check_recipient(self, submission: Submission, channel: ChannelSettings) -> list[Problem]:
        """Those of them that its recipient breaks; asked for each recipient of a send."""

    @abstractmethod
    def call(self, submission: Submission, channel: ChannelSettings) -> Call:
        """The HTTP request that makes the carrier do what *submission* says."""

    @abstractmethod
    def outcome(self, answer: Answer) -> Outcome:
        """What the carrier's answer means. Never raises: an answer without sense is ``undecided``."""

    def poll(self, channel: ChannelSettings, page: int, listed: str = "") -> Call | None:
        """The call that fetches page *page* (from 1) of what waits for us on the list called *listed*, one of
        `lists`; None where nothing is polled."""
        return None

    def polled(self, answer: Answer, channel: ChannelSettings, listed: str = "") -> tuple[list[Event], bool]:
        """Returns the events of a polled page of the list *listed*, and whether there is another one;
        *listed* is empty for answers that an earlier version kept. Raises ``Unreadable``."""
        raise Unreadable(f"{self.name} is not polled")

    def refusal(self, answer: Answer) -> Outcome | None:
        """Returns why the carrier did not answer a poll, None where it did or where nobody can tell."""
        if 200 <= answer.status < 300:
            return None
        meant = answers.by_http_status(answer)
        return meant if meant.fate in (Fate.REFUSED, Fate.THROTTLED) else None

    def collected(self, events: Sequence[Event], channel: ChannelSettings) -> Call | None:
        """The call that keeps what was polled from coming again, None where none is needed. For after the
        last page: while pages are fetched, it would move what is on the next one."""
        return None

    def ask(self, provider_message_id: str, recipient: str, channel: ChannelSettings) -> Call | None:
        """The call that asks what became of a message, None where the carrier cannot be asked."""
        return None

    def told(self, answer: Answer, channel: ChannelSettings) -> list[Event]:
        """What the answer to `ask` tells. Raises ``Unreadable``."""
        raise Unreadable(f"{self.name} cannot be asked")
