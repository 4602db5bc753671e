"""What the fuzz is made of."""

import os
from collections import Counter
from random import Random
from time import process_time

from faults import fuzz_cases, fuzz_texts, fuzz_values
from faults.fuzz_callers import Judged
from faults.fuzz_cost import BATCH, Costs
from receiver.config import DEFAULT_MAX_BODY
from receiver.providers import PROVIDERS


def test_a_case_of_the_fuzz_can_be_had_again_by_its_number() -> None:
    assert [fuzz_cases.case(7, number) for number in range(300)] == [
        fuzz_cases.case(7, number) for number in range(300)
    ]
    assert fuzz_cases.case(7, 1).raw != fuzz_cases.case(8, 1).raw


def test_every_provider_meets_every_kind_of_case_and_every_charset() -> None:
    kinds = {name: Counter[str]() for name in PROVIDERS}
    for number in range(2_500):
        case = fuzz_cases.case(1, number)
        kinds[case.provider][case.kind] += 1

    for counted in kinds.values():
        assert {"fields", "bytes", "json", "query", "noise", "a wrong address"} <= counted.keys()
        assert {f"JSON, {charset}" for charset in fuzz_texts.JSON_CHARSETS} <= counted.keys()
    assert {f"{form}, utf-8" for form in ("form", "query", "multipart")} <= kinds["voicetel"].keys()
    assert {f"MIME, {name}, base64" for name in fuzz_texts.MIME_CHARSETS} <= kinds["swift"].keys()


def test_what_the_fuzz_expects_of_a_door_is_what_the_provider_and_the_channel_say() -> None:
    assert {name: provider.acknowledge()[0] for name, provider in PROVIDERS.items()} == fuzz_cases.SUCCESS
    assert DEFAULT_MAX_BODY == fuzz_cases.LARGEST


def test_an_answer_that_was_not_expected_is_counted_and_described() -> None:
    judged = Judged()
    case = fuzz_cases.case(1, 0)
    judged.judge(case, 500)

    assert 1 == judged.wrong
    assert [] == list(judged.kept)
    assert "case 0" in judged.unexpected[0]


def test_values_have_all_that_no_column_takes() -> None:
    drawn = [fuzz_values.text(rng) for rng in map(Random, range(2_000))]

    assert any("\0" in text for text in drawn)
    assert any("\ud800" in text for text in drawn)
    assert any(fuzz_values.LONGEST == len(text) for text in drawn)


def test_the_fuzz_tells_which_of_its_cases_cost_most() -> None:
    costs = Costs([os.getpid()])
    for number in range(3 * BATCH):
        until = process_time() + 0.3 if number == BATCH + 1 else 0
        while process_time() < until:
            pass
        costs.answered()
    costs.end()

    seconds, end = costs.dearest[0]
    assert 2 * BATCH == end
    assert 0.2 < seconds <= costs.total
