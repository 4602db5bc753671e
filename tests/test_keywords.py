# ruff: noqa: RUF001 - ambiguous letters are what this is about
"""Which words opt out, opt in, or mean something else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.keywords import Meaning, normalised, verdict

STOPS = [
    *("STOP", "StopAll", "UNSUBSCRIBE", "cancel", "END", "quit", "revoke", "OPTOUT", "remove", "TD"),
    *("arrêt", "ARRET", "arrêter", "désabonner", "detener", "SALIR", "alto", "baja", "parar", "cancelar"),
    "stopp",
]
DECORATION = st.text(alphabet=" .!?\"'“”‘’«»()*_-…\u200b\u2060🛑🙏👍🏽\n\t", max_size=6)


@pytest.mark.parametrize(
    "word", [*STOPS, "opt out", "Opt-Out", "stop all", "no más", "S.T.O.P.", "ＳＴＯＰ", "𝐒𝐓𝐎𝐏"]
)
def test_a_message_that_is_a_keyword_and_nothing_else_opts_out_for_certain(word: str) -> None:
    found = verdict(word)

    assert found
    assert (Meaning.STOP, "keyword", "certain") == (found.meaning, found.source, found.certainty)


@given(st.sampled_from(STOPS), DECORATION, DECORATION, st.booleans())
def test_what_stands_around_a_keyword_changes_nothing(word: str, before: str, after: str, loud: bool) -> None:
    found = verdict(before + (word.upper() if loud else word) + after)

    assert found
    assert (Meaning.STOP, "certain") == (found.meaning, found.certainty)


@pytest.mark.parametrize(
    ("text", "word", "source"),
    [
        ("Stop it", "stop", "keyword"),
        ("STOP please", "stop", "keyword"),
        ("unsubscribe from everything", "unsubscribe", "keyword"),
        ("Arrêt des messages", "arret", "keyword"),
        ("please stop texting me", "stop texting", "phrase"),
        ("Remove me from your list", "remove me", "phrase"),
        ("take me off this", "take me off", "phrase"),
        ("No more texts, thanks", "no more texts", "phrase"),
        ("Don’t text me again", "dont text me", "phrase"),
        ("unsuscribe", "unsuscribe", "keyword"),
    ],
)
def test_beginnings_phrases_and_slips_opt_out_as_likely(text: str, word: str, source: str) -> None:
    found = verdict(text)

    assert found
    assert (Meaning.STOP, word, source, "likely") == (
        found.meaning,
        found.word,
        found.source,
        found.certainty,
    )


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("cancel my 3pm", "cancel"),
        ("Can I quit early on Friday?", "quit"),
        ("In the end we took the bus", "end"),
        ("please remove the cheese", "remove"),
        ("Do not revoke it", "revoke"),
        ("don't stop texting me", "stop texting"),
    ],
)
def test_a_customer_who_talks_is_marked_and_not_opted_out(text: str, word: str) -> None:
    found = verdict(text)

    assert found
    assert (Meaning.PERHAPS_STOP, word) == (found.meaning, found.word)


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("START", Meaning.START),
        ("unstop", Meaning.START),
        ("¡Volver!", Meaning.START),
        ("receber", Meaning.START),
        ("Yes!", Meaning.YES),
        ("help", Meaning.HELP),
        ("INFO", Meaning.HELP),
        ("Aide ?", Meaning.HELP),
    ],
)
def test_words_that_opt_in_or_ask_for_help_stand_alone(text: str, meaning: Meaning) -> None:
    found = verdict(text)

    assert found
    assert meaning == found.meaning
    assert None is verdict(f"well, {text} then")


@pytest.mark.parametrize(
    "text",
    [None, "", "🛑", "Yes please", "I started", "nonstop fun", "bus stop 12", "Stopping by", "the info desk"],
)
def test_everything_else_is_just_a_message(text: str | None) -> None:
    assert None is verdict(text)


@given(st.text(max_size=200))
def test_any_text_at_all_has_an_answer(text: str) -> None:
    verdict(text)


@given(st.text(max_size=200))
def test_normalising_twice_is_normalising_once(text: str) -> None:
    assert normalised(text) == normalised(normalised(text))


def test_a_very_long_text_is_looked_at_only_so_far() -> None:
    assert None is verdict("a " * 2000 + "stop texting me")
