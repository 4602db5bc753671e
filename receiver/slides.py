"""The files of a send by their JSON pointers, and what stands together of them and its texts."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from typing import Any

from models.sends import Slide
from receiver.problems import Code, FieldError, Problem
from receiver.providers.base import Provider
from receiver.requests import MediaSource, ReplyRequest, TemplateRequest

Request = ReplyRequest | TemplateRequest


def check(request: Request, provider: Provider) -> None:
    """Raises ``Problem`` where *request* says what stands together twice or to a carrier without slides."""
    wrong = list(_wrong(request, provider))
    if wrong:
        code = Code.INVALID_FIELD if provider.has_slides else Code.CHANNEL_CANNOT
        raise Problem(code, f"{wrong[0].pointer}: {wrong[0].detail}", errors=wrong)


def named(request: Request) -> Mapping[str, MediaSource]:
    """Returns the files of *request*, in their order, by the JSON pointers of where they stand."""
    if not request.slides:
        return {f"/media/{place}": file for place, file in enumerate(request.media)}
    return {
        f"/slides/{slide}/media/{place}": file
        for slide, shown in enumerate(request.slides)
        for place, file in enumerate(shown.media)
    }


def said(request: Request) -> tuple[Slide, ...]:
    """Returns what stands together according to *request*, nothing where it leaves that open.

    Where a file has a text, each has a slide of its own.
    """
    if request.slides:
        places = count()
        return tuple(
            Slide(tuple(next(places) for _ in shown.media), shown.text, f"/slides/{slide}")
            for slide, shown in enumerate(request.slides)
        )
    if any(file.text for file in request.media):
        return tuple(
            Slide((place,), file.text, f"/media/{place}") for place, file in enumerate(request.media)
        )
    return ()


def kept(slides: Sequence[Slide]) -> list[dict[str, Any]]:
    """Returns *slides* as they are stored, in JSON: the places of their ``media``, and their ``text``."""
    return [{"media": list(slide.media), "text": slide.text} for slide in slides]


def _wrong(request: Request, provider: Provider) -> Iterator[FieldError]:
    if not provider.has_slides:
        texts = [f"/media/{place}/text" for place, file in enumerate(request.media) if file.text]
        for pointer in [*texts, *(["/slides"] if request.slides else [])]:
            yield FieldError(pointer=pointer, detail=f"{provider.name} has no slides")
    elif request.slides:
        for pointer, value in (("/text", request.text), ("/media", request.media)):
            if value:
                yield FieldError(pointer=pointer, detail="goes onto one of the slides, where they are named")
        for place, slide in enumerate(request.slides):
            if not slide.media and not slide.text:
                yield FieldError(pointer=f"/slides/{place}", detail="needs a file or a text")
