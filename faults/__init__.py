"""What is acknowledged is stored, whatever breaks: ``python -m faults``.

`docs/faults.md` says what is broken, what must hold, and what came out.
"""
