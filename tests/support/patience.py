"""How long tests wait for what is to happen."""

#: Seconds. Costs nothing where it happens; where it does not, the test fails that much later. It is no
#: expectation: a machine may have a dozen other things to do.
PATIENCE = 60.0
#: the same for a command that starts, does something and ends: a process may need half a minute to start
COMMAND = 5 * PATIENCE
