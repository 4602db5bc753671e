"""The companion: drains the outbox through the providers. The receiver runs without it."""
