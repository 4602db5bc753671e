"""Every row of ``make faults`` holds in its short form."""

from pathlib import Path

import pytest

from faults import rows
from tests.support.faults import tried

ROWS = [row.name for row in rows.every()]


@pytest.mark.rows
@pytest.mark.parametrize("row", ROWS)
def test_a_row_holds_in_its_short_form(row: str, tmp_path: Path) -> None:
    found = tried(row, tmp_path)

    assert found["acknowledged"] > 10
    if row in {"killed", "stopped", "spool", "answers"}:
        assert found["requests"] == found["acknowledged"]
    if row == "frozen-door":
        assert found["figures"]["answered unavailable"] > 10
