"""An object store that speaks S3 over HTTP: as much of it as files need, in the event loop of the test."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from hashlib import md5

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.support.carrier import running

BUCKET = "files"


class S3:
    """*objects* by their keys; what was put is *age* old."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.away = False
        self.age = timedelta(0)
        self.app = Starlette(
            routes=[
                Route(f"/{BUCKET}/{{key:path}}", self._object, methods=["GET", "PUT"]),
                Route(f"/{BUCKET}", self._list),
                Route(f"/{BUCKET}", self._delete, methods=["POST"]),
            ]
        )

    async def _object(self, request: Request) -> Response:
        key = request.path_params["key"]
        self.asked.append(f"{request.method} {key}")
        if self.away:
            return Response(status_code=403)
        assert "Credential=an-id/" in request.headers["authorization"]
        if request.method == "PUT":
            self.objects[key] = await request.body()
            return Response(headers={"ETag": f'"{md5(self.objects[key]).hexdigest()}"'})  # noqa: S324 - S3's own
        if key not in self.objects:
            return Response(status_code=404)
        content, headers = (
            self.objects[key],
            {"ETag": '"1"', "Last-Modified": self._stamp("%a, %d %b %Y %H:%M:%S GMT")},
        )
        if "range" not in request.headers:
            return Response(content, headers=headers)
        first, last = map(int, request.headers["range"].removeprefix("bytes=").split("-"))
        headers["Content-Range"] = f"bytes {first}-{min(last, len(content) - 1)}/{len(content)}"
        return Response(content[first : last + 1], 206, headers)

    async def _delete(self, request: Request) -> Response:
        keys = re.findall("<Key>(.*?)</Key>", (await request.body()).decode())
        for key in keys:
            self.objects.pop(key, None)
        gone = "".join(f"<Deleted><Key>{key}</Key></Deleted>" for key in keys)
        return Response(f"<DeleteResult>{gone}</DeleteResult>", media_type="application/xml")

    async def _list(self, request: Request) -> Response:
        prefix = request.query_params.get("prefix", "")
        found = "".join(
            f"<Contents><Key>{key}</Key><Size>{len(content)}</Size><ETag>1</ETag>"
            f"<LastModified>{self._stamp('%Y-%m-%dT%H:%M:%S.000Z')}</LastModified></Contents>"
            for key, content in sorted(self.objects.items())
            if key.startswith(prefix)
        )
        page = f"<ListBucketResult><IsTruncated>false</IsTruncated>{found}</ListBucketResult>"
        return Response(f'<?xml version="1.0"?>{page}', media_type="application/xml")

    def _stamp(self, pattern: str) -> str:
        return (datetime.now(UTC) - self.age).strftime(pattern)


@asynccontextmanager
async def object_store(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[S3]:
    """Its address and credentials are in the environment, where the library looks for them."""
    found = S3()
    async with running(found.app) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "an-id")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret")
        monkeypatch.setenv("AWS_REGION", "us-east-1")
        yield found
