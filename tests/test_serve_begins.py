"""`postback serve` makes the partitions that are missing before it says that it is ready."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from receiver import partitions
from tests.support import commands
from tests.support.beds import Bed
from tests.support.store import SCHEMA, postback, without_partitions

pytestmark = pytest.mark.stock


@pytest.mark.parametrize("workers", [1, 2])
async def test_missing_partitions_are_made_before_it_is_ready(
    database_url: str, db: Any, tmp_path: Path, workers: int
) -> None:
    there = await partitions.existing(db, SCHEMA)
    await without_partitions(db)
    commands.configured(tmp_path, database_url, "sinch-us", tokens=["a-token-of-tests"])

    with commands.postback("serve", "--port", "0", "--workers", str(workers), cwd=tmp_path) as serving:
        address = serving.ready()
        assert [] == await partitions.lacking(db, SCHEMA)
        assert there == await partitions.existing(db, SCHEMA)
        async with httpx.AsyncClient() as client:
            answer = await client.post(
                f"{address}/hooks/sinch-us/a-token-of-tests", json=postback("N101", "T1")
            )
        assert 200 == answer.status_code
        assert "applied" == await db.fetchval("SELECT state FROM postback.payload"), "it went to the spool"
        assert 0 == serving.ends()


async def test_a_table_whose_partitions_cannot_be_made_is_named_instead(
    bed: Bed, database_url: str, db: Any, tmp_path: Path
) -> None:
    """The role may read and write, and not change tables."""
    await without_partitions(db)
    commands.configured(
        tmp_path, await _limited(bed, database_url, db), "sinch-us", tokens=["a-token-of-tests"]
    )
    code, said, complaints = commands.run("serve", "--port", "0", cwd=tmp_path)

    assert (1, "") == (code, said)
    assert complaints.startswith(
        "Nothing can be stored in message, message_body, media, event, payload, submission"
    )
    assert complaints.endswith("; run: postback migrate\n")
    assert 1 == len(complaints.splitlines())


async def test_a_role_that_may_make_no_months_begins_with_those_that_are_there(
    bed: Bed, database_url: str, db: Any, tmp_path: Path
) -> None:
    last = max(await partitions.existing(db, SCHEMA), key=lambda partition: partition.begin)
    await db.execute(f"DROP TABLE {SCHEMA}.{last.name}")
    commands.configured(
        tmp_path, await _limited(bed, database_url, db), "sinch-us", tokens=["a-token-of-tests"]
    )

    with commands.postback("serve", "--port", "0", cwd=tmp_path) as serving:
        serving.ready()
        assert "permission denied" in serving.says(
            "partitions are made later"
        ) or "must be owner" in serving.says("partitions are made later")
        assert 0 == serving.ends()


async def _limited(bed: Bed, database_url: str, db: Any) -> str:
    """The URL for a role that owns nothing, and may read and write everything."""
    if bed.owner != "postgres":
        pytest.skip("the product's role may make no other here")
    await db.execute("DO $$ BEGIN CREATE ROLE limited; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
    for granted in (
        f"USAGE ON SCHEMA {SCHEMA}",
        f"ALL ON ALL TABLES IN SCHEMA {SCHEMA}",
        f"ALL ON ALL FUNCTIONS IN SCHEMA {SCHEMA}",
        f"ALL ON ALL SEQUENCES IN SCHEMA {SCHEMA}",
    ):
        await db.execute(f"GRANT {granted} TO limited")
    return f"{database_url}&options=-crole%3Dlimited"
