"""Bodies of answers, read as they come and no further than they may go."""

import httpx


async def raw(response: httpx.Response, most: int, too_large: Exception) -> bytes:
    """Returns the body as it was sent, without unpacking it. Raises *too_large* beyond *most* bytes, and
    ``httpx.HTTPError``."""
    chunks: list[bytes] = []
    size = 0
    async for chunk in response.aiter_raw():
        size += len(chunk)
        if size > most:
            raise too_large
        chunks.append(chunk)
    return b"".join(chunks)
