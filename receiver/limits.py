"""A send held against its carrier's limits, before anything is queued."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from models.sends import Problem as Broken
from models.sends import Submission
from receiver.config import ChannelSettings
from receiver.problems import FieldError, Problem
from receiver.providers.base import Provider
from receiver.providers.reading import moment

DAY = 86400


def hold(
    provider: Provider, channel: ChannelSettings, *copies: Submission, pointers: Sequence[str] = ()
) -> None:
    """Raises ``Problem`` for the carrier's limits that *copies*, alike but for their recipients, break.
    *pointers* are the JSON pointers of these, their places in ``to`` where none are given."""
    broken = [*_ahead(provider, copies[0]), *_unlike_itself(copies[0].reference)]
    broken += [problem for problem in provider.check(copies[0], channel) if problem.pointer != "/to"]
    for place, copy in enumerate(copies):
        wrong = provider.check_recipient(copy, channel)
        pointer = pointers[place] if pointers else f"/to/{place}"
        broken += [replace(problem, pointer=pointer) for problem in wrong]
    if broken:
        errors = [FieldError(pointer=problem.pointer, detail=problem.detail) for problem in broken]
        raise Problem(broken[0].code, f"{errors[0].pointer}: {errors[0].detail}", errors=errors)


def advised(provider: Provider, channel: ChannelSettings, *copies: Submission) -> tuple[FieldError, ...]:
    """Returns what the carrier advises against in *copies*, alike but for their recipients."""
    everybody = tuple(copy.recipient for copy in copies if copy.recipient)
    advice = provider.advise(replace(copies[0], recipients=everybody), channel)
    return tuple(FieldError(pointer=one.pointer, detail=one.detail) for one in advice)


def _unlike_itself(reference: str | None) -> Iterator[Broken]:
    """A reference that would come back from the carrier as another one."""
    if reference is not None and reference != reference.strip():
        detail = "goes out to the carrier on this channel, and may neither begin nor end with a blank"
        yield Broken("/client_reference", detail)


def _ahead(provider: Provider, submission: Submission) -> list[Broken]:
    """Times that lie behind us, or farther ahead than the carrier takes."""
    now = datetime.now(UTC)
    times: dict[str, tuple[datetime | None, int | None]] = {
        "/expires_at": (submission.expires_at, provider.max_expiry)
    }
    for option, seconds in provider.max_option_ahead.items():
        times[f"/options/{option}"] = (moment(submission.options.get(option)), seconds)
    broken = []
    for pointer, (time, most) in times.items():
        if time is not None and time <= now:
            broken.append(Broken(pointer, "must be in the future"))
        elif time is not None and most is not None and time > now + timedelta(seconds=most):
            broken.append(Broken(pointer, f"{provider.name} takes at most {most / DAY:g} days from now"))
    return broken
