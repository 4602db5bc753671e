"""``python -m postback``."""

from postback.cli import main

main()
