"""How many reports a second are acknowledged, and stored by then: ``python -m benchmarks``.

`docs/performance.md` says what is measured and what came out.
"""
