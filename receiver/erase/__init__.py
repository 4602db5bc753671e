"""Removing a number everywhere: in tables by whatever name, in files, in spools.

The messages stay, without their words and with a masked number, so that figures go on adding up. The opt-out
list keeps a keyed hash, and goes on working. What is found is found by its looks, in every column of every
table of the schema: a table that is added later is covered too.
"""

from receiver.erase.steps import Busy, Erase, Report

__all__ = ["Busy", "Erase", "Report"]
