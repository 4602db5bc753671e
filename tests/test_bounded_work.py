"""Work grows with a stranger's text and no faster, whatever stands in it: patterns, parsers, fields.

Each part runs in a process of its own, which the system ends when one text takes too long of the processor.
"""

import re
import subprocess
import sys
from typing import Any

import orjson
import pytest

from tests.support import bounded_work, worst_texts
from tests.support.bounded_work import Cost, Looker
from tests.support.worst_texts import Used

#: patterns as they once stood here, and how they were used
QUADRATIC = {
    r"\s*(?:DETAIL|CONTEXT|HINT|STATEMENT):.*": "sub",
    r"Key \(.*?\)=\(.*": "sub",
    r"\(.*\)|\[.*\]|\{.*\}": "sub",
    r"\s+text:": "split",
    r"\s*bytes\s*=\s*(\d{0,18})\s*-\s*(\d{0,18})\s*": "fullmatch",
    r"://[^:/?]*:([^?]+)@": "findall",
}


@pytest.mark.parametrize("kind", bounded_work.KINDS)
def test_a_text_of_a_mebibyte_takes_no_more_than_its_share_of_time(kind: str) -> None:
    command = [sys.executable, "-m", "tests.support.bounded_work", kind]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)  # noqa: S603
    told = [orjson.loads(line) for line in ended.stdout.splitlines()]
    costs = [Cost(**line) for line in told if "begun" not in line]

    assert 0 == ended.returncode, f"no end of {told[-1:]}: {ended.stderr[-2000:]}"
    assert [] == [cost for cost in costs if cost.grows]
    assert len(costs) > 80


@pytest.mark.parametrize("pattern", QUADRATIC)
def test_each_pattern_that_grew_faster_is_found_out(pattern: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # 16 times the text, as it is with 64 KiB and 1 MiB, but not for hours
    monkeypatch.setattr(bounded_work, "SHORT", 1 << 9)
    monkeypatch.setattr(bounded_work, "MEDIUM", 1 << 10)
    used = Used("as it was", re.compile(pattern, re.DOTALL), QUADRATIC[pattern])
    cost = bounded_work.measured(Looker("it", used.run, worst_texts.against(used.pattern), 1 << 14))

    assert cost.long > 3 * 16 * cost.medium


def test_every_pattern_in_the_product_is_among_them() -> None:
    found: Any = {used.pattern.pattern for used in worst_texts.every_pattern()}

    assert {r"(?P<kept>/hooks/[^/\s]+/)[^\s\"'?]+", r"\D", rb"\r?\n\r?\n", r"\+1\d{10}"} <= found
    assert len(found) > 80
