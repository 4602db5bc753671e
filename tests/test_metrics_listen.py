"""Metrics and documents at an address of their own."""

from pathlib import Path

import httpx
import pytest

from faults.ports import free_port as another_port
from receiver.config import ConfigError, load
from tests.support.commands import postback

APART = ("/metrics", "/docs", "/openapi.json")
HERE = ("/healthz", "/readyz", "/v1/messages")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_metrics_and_documents_are_served_at_their_address_and_nothing_else_is(
    tmp_path: Path, database_url: str, workers: str
) -> None:
    listening = f"127.0.0.1:{another_port()}"
    variables = {
        "DATABASE_URL": database_url,
        "POSTBACK_SECRET_KEY": "a secret key for tests",
        "POSTBACK_METRICS_LISTEN": listening,
    }
    with postback("serve", "--port", "0", "--workers", workers, cwd=tmp_path, **variables) as server:
        address = server.ready()

        def answers(at: str, paths: tuple[str, ...]) -> list[int]:
            return [httpx.get(f"{at}{path}", timeout=30, trust_env=False).status_code for path in paths]

        assert [200, 200, 200] == answers(f"http://{listening}", APART)
        assert [404, 404, 404] == answers(f"http://{listening}", HERE)
        assert [404, 404, 404] == answers(address, APART)
        assert [200, 200, 401] == answers(address, HERE)
        assert 404 == httpx.post(f"http://{listening}/hooks/a/b", trust_env=False).status_code
        assert 0 == server.ends()


@pytest.mark.parametrize("wrong", ["9464", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:x", ":9464", "h:65536"])
def test_what_is_no_address_is_refused(wrong: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("POSTBACK_METRICS_LISTEN", wrong)

    with pytest.raises(ConfigError, match="metrics_listen"):
        load()
