"""Logs: one JSON object a line on standard error, or readable lines where a person looks on."""

import logging
import os
import sys

import structlog


def configure() -> None:
    """For this process. Never log message text, a whole number or a credential."""
    readable = sys.stderr.isatty() or os.environ.get("POSTBACK_LOGS") == "readable"
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.dev.ConsoleRenderer(colors=False) if readable else structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s %(message)s")
