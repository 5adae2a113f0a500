"""Floor 10: the command line. Each command is a file of its own, loaded when it is called."""

from netdef.cli.main import main

__all__ = ["main"]
