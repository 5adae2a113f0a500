"""ND00xx: the command line and the machine."""

from netdef.diagnostics.codes.page import Page

PAGES = (
    Page(
        "ND0001",
        "a bug in netdef",
        """
Something went wrong that no input should be able to cause. Please report it with the files that led to it; the
environment variable NETDEF_DEBUG=1 shows where it happened.
""",
    ),
    Page(
        "ND0016",
        "the system refused",
        """
A file could not be read or written; the message is the operating system's own. Files are written under another name
and put in place when they are whole, so what was there before is still there.
""",
    ),
    Page(
        "ND0017",
        "out of memory",
        """
The machine has less memory than the net needs. `netdef summary` predicts how much a training step takes. A smaller
`batch_size` with a larger `iter_size` gives the same gradient with less memory.
""",
    ),
)
