"""The layout of a send on the slides of a Sinch MMS, and what a slide may hold.

https://developers.sinch.com/docs/mms/api-reference/mms; the codes in comments are what the carrier answers
to a request that breaks the rule (https://developers.sinch.com/docs/mms/api-reference/api-status-codes).
"""

from collections.abc import Iterator, Sequence
from typing import Any

from models.sends import Hosted, OutgoingMedia, Problem, Slide, Submission
from receiver.providers import checks, reading

CARRIER = "Sinch MMS"
LONGEST_TEXT, SLIDES_PER_MESSAGE = 5000, 8
_TEXT = "message-text"
_SLOTS = {
    "image/jpeg": "image", "image/jpg": "image", "image/png": "image", "image/gif": "image",
    "image/webp": "image",  # for accounts where it is enabled
    "text/vcard": "contact", "text/x-vcard": "contact", "text/directory": "contact",
    "text/calendar": "calendar", "application/pdf": "pdf",
}  # fmt: skip

Laid = dict[str, Any]


def laid_out(submission: Submission) -> list[Laid]:
    """Returns the slides of *submission* as the carrier takes them: those that it names, the text in front of
    them where the first has one of its own, else those of `slides`."""
    if not submission.slides:
        return slides(submission.text, submission.media)
    made = [_exactly(slide, submission.media) for slide in submission.slides]
    if submission.text and _TEXT in made[0]:
        return [{_TEXT: submission.text}, *made]
    if submission.text:
        made[0][_TEXT] = submission.text
    return made


def slides(said: str | None, media: Sequence[OutgoingMedia]) -> list[Laid]:
    """Returns as few slides as keep the order: a picture and a sound that follow each other share one,
    everything else has its own (E223, E224, E226, E227), and the text stands on the first."""
    made: list[Laid] = []
    for file in media:
        slot = slot_of(file) or ""
        if not made or {*made[-1], slot} != {"image", "audio"} or slot in made[-1]:
            made.append({})
        made[-1][slot] = {"url": file.url}
    if said:
        made = made or [{}]
        made[0][_TEXT] = said
    return made


def slot_of(file: OutgoingMedia) -> str | None:
    """The key of a slide under which *file* goes, None for a type that Sinch does not list."""
    return _slot(file.content_type) or _slot(reading.content_type(file.url))


def problems(submission: Submission, *, looks: bool) -> Iterator[Problem]:
    """Every limit of slides that *submission* breaks. *looks*: files of no known type will be looked at."""
    said, media = submission.text or "", submission.media
    if not said and not media and not submission.slides:  # E312
        yield Problem("/text", f"{CARRIER} needs a text or media")
    yield from _text_problems("/text", said)
    unknown = [place for place, file in enumerate(media) if slot_of(file) is None]
    for place in unknown:  # E629
        # of what type it is, its server may tell
        if not looks or checks.plain_type(media[place]) is not None:
            yield _of_no_type(media[place], place)
    for slide in submission.slides:
        yield from _slide_problems(slide, media)
    needed = len(laid_out(submission))
    if not unknown:  # E225
        first = next(iter(submission.slides), None)
        pointer = "/slides" if first and first.pointer.startswith("/slides") else "/media"
        yield from checks.too_long(CARRIER, pointer, "slides", SLIDES_PER_MESSAGE, needed)


def judgement(hosted: Hosted) -> str | None:
    """Returns why the carrier's page says that a file fails of which its server says what *hosted* is."""
    if hosted.chunked or hosted.length is None:
        return f"comes chunked or without Content-Length, and {CARRIER} rejects that"
    if hosted.length == 0:
        return "is empty"
    if _slot(hosted.content_type) is None:
        served = hosted.content_type or "of no type"
        return f"is served as {served}, and {CARRIER} rejects that"
    return None


def advice(submission: Submission) -> Iterator[Problem]:
    """Types of files that are taken from some accounts only."""
    for place, file in enumerate(submission.media):
        if checks.plain_type(file) == "image/webp":
            yield Problem(_where(file, place), f"{CARRIER} takes webp where it is enabled for the account")


def _exactly(slide: Slide, media: Sequence[OutgoingMedia]) -> Laid:
    made: Laid = {slot_of(media[place]) or "": {"url": media[place].url} for place in slide.media}
    return made | ({_TEXT: slide.text} if slide.text else {})


def _slot(content_type: str | None) -> str | None:
    plain = (content_type or "").partition(";")[0].strip().lower()
    family = plain.partition("/")[0]
    return _SLOTS.get(plain) or (family if family in ("audio", "video") else None)


def _of_no_type(file: OutgoingMedia, place: int) -> Problem:
    detail = f"{CARRIER} takes jpg, png, gif, webp, audio, video, vcf, ics and pdf; this is none of them"
    return Problem(_where(file, place), detail, code="media_error")


def _where(file: OutgoingMedia, place: int) -> str:
    """Returns the JSON pointer of what names *file*."""
    return f"{file.pointer or f'/media/{place}'}/{'id' if file.file else 'url'}"


def _text_problems(pointer: str, said: str | None) -> Iterator[Problem]:
    yield from checks.too_long(CARRIER, pointer, "characters of text", LONGEST_TEXT, len(said or ""))  # E228


def _slide_problems(slide: Slide, media: Sequence[OutgoingMedia]) -> Iterator[Problem]:
    yield from _text_problems(f"{slide.pointer}/text", slide.text)
    kinds = [slot for place in slide.media if (slot := slot_of(media[place]))]
    if len(kinds) > 1 and sorted(kinds) != ["audio", "image"]:  # E223, E224, E226, E227
        found = " and ".join(kinds)
        detail = f"{CARRIER} shows a picture beside a sound, and anything else alone; this slide has {found}"
        yield Problem(f"{slide.pointer}/media", detail)
