"""Texts of strangers, cut to a length before anything is done with them that takes the longer the longer they
are."""


def cut(text: str, most: int) -> str:
    """Returns *text*, or its first *most* characters and how many follow: ``abc… (19997 more)``."""
    more = len(text) - most
    return text if more <= 0 else f"{text[:most]}… ({more} more)"


def shortened(text: str, most: int) -> str:
    """Returns *text* in at most *most* characters; the last one is ``…`` where some are left out."""
    return text if len(text) <= most else f"{text[: most - 1]}…"
