"""Words by which people ask to be left alone, or to be written to again.

A whole message that is a keyword is certain. One that begins with a word for stopping, or says it in one of
a few phrases, is likely: it counts at once, and a person may look at it. Words that mean other things as
well ("cancel my 3pm") are only marked where they stand in a longer text.
"""

import re
import unicodedata
from dataclasses import dataclass
from enum import StrEnum

#: characters that are looked at; nobody asks to be left alone at the end of a novel
MOST = 1000


class Meaning(StrEnum):
    STOP = "stop"
    START = "start"
    #: an agreement: it opts in whoever is opted out, and answers a question of everybody else
    YES = "yes"
    HELP = "help"
    #: may be meant as an opt-out; for people to see
    PERHAPS_STOP = "perhaps_stop"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a message asks. *word* is what was recognised, in plain lower-case letters; *source* is
    ``keyword`` or ``phrase``, *certainty* ``certain`` or ``likely``."""

    meaning: Meaning
    word: str
    source: str = "keyword"
    certainty: str = "certain"


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: English as the carriers in the USA and Canada list it, then French, Spanish, Portuguese and German
_STOP = _words(
    "stop stopall unsubscribe cancel end quit revoke optout remove td"
    " arret arreter desabonner"
    " detener salir alto baja nomas"
    " parar cancelar"
    " stopp"
)
_START = _words("start unstop volver recibir voltar receber")
_YES = _words("yes")
_HELP = _words("help info aide")
#: what thumbs make of them
_NEARLY_STOP = _words("stpo sotp stpp unsubcribe unsuscribe unsubscibe unsubscribed")

_BEGINS = re.compile(r"(?:stop|unsubscribe|arret)\b")
_PHRASES = re.compile(
    r"\b(?P<not>(?:dont|do not|not|never|cant|wont) )?"
    r"(?P<phrase>stop (?:texting|messaging|contacting|sending|writing|spamming)"
    r"|(?:opt|take) me (?:out|off)|(?:remove|unsubscribe) me|(?:dont|do not) (?:text|message|contact) me"
    r"|leave me alone"
    r"|no more (?:texts|messages|sms)"
    r"|no mas mensajes|no me (?:escriban|envien|manden)|ne plus recevoir|desabonne[rz] moi|keine sms mehr"
    r"|nao quero (?:mais )?receber)\b"
)
#: one of these stands in whatever `_in_a_sentence` finds; most messages have none and are done
_TELLTALE = _words(
    "stop unsubscribe arret opt take remove do dont leave no ne desabonnez desabonner keine nao"
    " end cancel quit revoke"
)
_PERHAPS = re.compile(r"\b(end|cancel|quit|revoke|remove)\b")

_APOSTROPHES = re.compile("['\u2019\u02bc`\u00b4]")
_NO_LETTERS = re.compile(r"[\W_]+")


def normalised(text: str) -> str:
    """*text* in lower-case letters and digits, single spaces between words, accents off."""
    text = text[:MOST]
    if not text.isascii():
        # before the letters, or a bold or a full-width one would be none; accents and the invisible go
        decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
        text = "".join(c for c in decomposed if unicodedata.category(c) not in ("Mn", "Me", "Cf"))
    return _NO_LETTERS.sub(" ", _APOSTROPHES.sub("", text.lower())).strip()


def verdict(text: str | None) -> Verdict | None:
    """What *text* asks, None where it is just a message."""
    if not text:
        return None
    said = normalised(text)
    # "opt out", "stop all", "S T O P"; the last one is nothing else than the first
    joined = said.replace(" ", "") if len(said) <= 24 else ""
    for among, meaning in (
        (_STOP, Meaning.STOP),
        (_START, Meaning.START),
        (_YES, Meaning.YES),
        (_HELP, Meaning.HELP),
    ):
        if joined in among:
            return Verdict(meaning, joined)
    if joined in _NEARLY_STOP:
        return Verdict(Meaning.STOP, joined, certainty="likely")
    return _in_a_sentence(said)


def _in_a_sentence(said: str) -> Verdict | None:
    if _TELLTALE.isdisjoint(said.split(" ")):
        return None
    if phrase := _PHRASES.search(said):
        meaning = Meaning.PERHAPS_STOP if phrase["not"] else Meaning.STOP
        return Verdict(meaning, phrase["phrase"], "phrase", "likely")
    if begins := _BEGINS.match(said):
        return Verdict(Meaning.STOP, begins[0], certainty="likely")
    if perhaps := _PERHAPS.search(said):
        return Verdict(Meaning.PERHAPS_STOP, perhaps[1], certainty="likely")
    return None
