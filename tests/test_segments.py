"""How many parts an SMS takes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver import segments


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", 1),
        ("a" * 160, 1),
        ("a" * 161, 2),
        ("a" * 306, 2),
        ("a" * 307, 3),
        ("€" * 80, 1),
        ("€" * 81, 2),
        # 76 signs of two septets fill 152 of 153: the 77th does not straddle
        ("€" * 153, 3),
        ("a" * 152 + "€" + "a" * 10, 2),
        ("é" * 160, 1),
        ("ç" * 70, 1),
        ("ç" * 71, 2),
        # a curly quote makes Unicode of the whole
        ("\u2019" + "a" * 69, 1),
        ("\u2019" + "a" * 70, 2),
        ("😀" * 35, 1),
        ("😀" * 36, 2),
        # 33 pairs fill 66 of 67 units: the 34th does not straddle
        ("😀" * 67, 3),
        ("^{}\\[~]|\f", 1),
    ],
    ids=lambda value: str(value)[:12],
)
def test_a_text_takes_so_many_parts(text: str, parts: int) -> None:
    assert parts == segments.count(text)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=500))
def test_the_parts_are_the_text_and_none_is_too_long(text: str) -> None:
    parts = segments.split(text)

    assert text == "".join(parts)
    if len(parts) > 1:
        assert all(len(part.encode("utf-16-be")) <= 2 * 153 for part in parts)
