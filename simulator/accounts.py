"""Who may send through the practice carriers, and where their callbacks go."""

from collections.abc import Iterable, Iterator
from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator


class Account(BaseModel):
    """One customer of a practice carrier.

    *api_key* is whatever the carrier calls its secret: x-api-key, APPKEY, apikey or a Bearer token.
    *callback_url* None switches callbacks off. *name* is what orders and the journal call the account; an
    empty one becomes the provider's name, numbered from the second account on.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    provider: str = "sinch_mms"
    api_key: str = Field(min_length=1, repr=False)
    callback_url: str | None
    name: str = ""
    #: what callbacks carry: "user:password", a Bearer token, or (Sinch SMS) a signature made with the secret
    basic: str | None = Field(default=None, min_length=1, repr=False)
    bearer: str | None = Field(default=None, min_length=1, repr=False)
    webhook_secret: str | None = Field(default=None, min_length=1, repr=False)
    #: Sinch MMS: a send that does not name it is refused
    service_id: str | None = None
    #: Sinch SMS: the plan in the path; None takes any
    service_plan_id: str | None = None
    #: VoiceTel documents no callback: the shape of the broker behind it, or the names of its own *api*
    shape: Literal["broker", "names"] = "broker"
    api: Literal["2", "2.2"] = "2"

    @field_validator("callback_url")
    @classmethod
    def _is_http(cls, url: str | None) -> str | None:
        if url is not None and (urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname):
            raise ValueError("must be an http or https URL, or null for no callbacks")
        return url


#: what is never shown
SECRETS = frozenset({"api_key", "basic", "bearer", "webhook_secret"})


class Accounts:
    """All accounts, found by provider and key (a request) or by name (an order)."""

    def __init__(self, accounts: Iterable[Account] = ()) -> None:
        self._by_key: dict[tuple[str, str], Account] = {}
        self._by_name: dict[str, Account] = {}
        for account in accounts:
            self.add(account)

    def add(self, account: Account) -> Account:
        """Keeps *account* under its name; one with a known key replaces it. Raises ``ValueError``."""
        known = self._by_key.get((account.provider, account.api_key))
        name = account.name or (known.name if known else self._free_name(account.provider))
        if self._by_name.get(name) not in (None, known):
            raise ValueError(f'another account is called "{name}"')
        if known:
            del self._by_name[known.name]
        named = account.model_copy(update={"name": name})
        self._by_key[named.provider, named.api_key] = self._by_name[name] = named
        return named

    def of_key(self, provider: str, api_key: str) -> Account | None:
        return self._by_key.get((provider, api_key))

    def named(self, name: str | None) -> Account:
        """The account called *name*, or the only one there is. Raises ``ValueError``."""
        if name is None and len(self._by_name) == 1:
            return next(iter(self))
        if name in self._by_name:
            return self._by_name[name]
        raise ValueError(f"name one of the accounts: {', '.join(self._by_name) or 'there is none yet'}")

    def __iter__(self) -> Iterator[Account]:
        return iter(self._by_name.values())

    def _free_name(self, provider: str) -> str:
        if provider not in self._by_name:
            return provider
        number = 2
        while f"{provider}-{number}" in self._by_name:
            number += 1
        return f"{provider}-{number}"
