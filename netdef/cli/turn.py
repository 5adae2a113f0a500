"""Which of several processes says what went wrong, and how does one of them leave?"""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from typing import NoReturn

from netdef.cli.unheard import let_go
from netdef.diagnostics import NetdefError
from netdef.ranks import rank, world_size

PARENT = "NETDEF_PARENT"
"""The variable that holds the id of the process that started this one, where that was `netdef train`."""
PATIENCE_S = 5.0
"""Long enough for torchrun to notice that a process has ended, and to end the others."""


def is_one_of_several() -> bool:
    """Whether this process trains together with others, which no other command than `train` does."""
    with suppress(NetdefError):  # variables that are no numbers: `train` has said so
        return sys.argv[1:2] == ["train"] and world_size() > 1
    return False


def wait_for_first() -> None:
    """Before this process says what went wrong, let the first one say it: mostly it is the same for all.

    torchrun then ends the others while they wait. Those that `netdef train` has started are listened to by their parent
    alone.
    """
    with suppress(NetdefError):
        if is_one_of_several() and rank() and PARENT not in os.environ:
            time.sleep(PATIENCE_S)


def leave(code: int) -> NoReturn:
    """End this process. One of several does not tidy up.

    Threads of torch.distributed may still hold tensors: in the midst of an exchange that somebody's error has cut off
    they would be waited for, and what they let go of while Python tidies up can abort the process.
    """
    let_go()
    if not is_one_of_several():
        sys.exit(code)
    os._exit(code)
