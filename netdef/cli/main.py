"""Which commands are there, and what becomes of their errors?"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from typing import Any

import click

from netdef.cli.report import show
from netdef.cli.turn import leave, wait_for_first
from netdef.cli.unheard import have_streams
from netdef.diagnostics import Diagnostic, NetdefError, error

COMMANDS = {
    "train": "Train the net of a solver file.",
    "test": "Score a net on its test data.",
    "time": "Time each layer, forward and backward.",
    "lr-find": "Find a learning rate by a range test.",
    "gradcheck": "Compare each layer's gradient with a numeric one.",
    "plot": "Draw loss, accuracy and learning rate of runs.",
    "check": "Find every mistake in nets and solvers.",
    "fmt": "Format prototxt files in one style.",
    "summary": "Show layers, shapes, parameters, work and memory of a net.",
    "draw": "Draw a net as a picture or a page to search and zoom.",
    "export": "Write a net as an ONNX file that is proven equal.",
    "verify": "Prove once more that an ONNX file equals its net.",
    "bisect": "Find the first layer where two back ends disagree.",
    "predict": "Classify images with a net or an ONNX file.",
    "features": "Save the blobs that a net computes of images.",
    "eject": "Write a net as one PyTorch file that needs only torch.",
    "fold": "Fold BatchNorm, Scale and Bias into the layers around them.",
    "deploy-net": "Print the deploy prototxt of a net that trains.",
    "upgrade": "Rewrite an old net or solver in today's schema.",
    "data": "Make, inspect and average databases of images.",
    "weights": "Show, compare and convert weight files.",
    "devices": "List the devices that can train.",
    "explain": "Explain a diagnostic's code.",
}
"""Every command and what `netdef --help` says of it; each is `command` in the file of its name (`-` being `_`)."""

RUNS_NETS = frozenset(
    {
        *("train", "test", "time", "lr-find", "gradcheck", "check", "summary", "draw", "export", "verify", "bisect"),
        *("predict", "features", "eject", "fold", "deploy-net"),
    }
)
"""The commands that take `--allow-python`."""

FAILED = 3
"""Exit code of a run that failed for no fault of its input."""


def _allow_python() -> click.Option:
    def consent(ctx: click.Context, param: click.Parameter, value: bool) -> None:
        if value:
            from netdef.layers.python import allowing
            from netdef.nn.python_host import PythonHost  # brings torch

            ctx.with_resource(allowing(PythonHost()))

    help = "Run the code of the net's Python layers; read it first."
    return click.Option(["--allow-python"], is_flag=True, expose_value=False, callback=consent, help=help)


class Commands(click.Group):
    """Finds commands by name and imports only the one that is asked for, so that `check` never waits for torch."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All commands, in the order of their use."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"netdef.cli.{cmd_name.replace('-', '_')}").command
        if cmd_name in RUNS_NETS and all(param.name != "allow_python" for param in command.params):
            command.params.append(_allow_python())
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[Any, Any, list[str]]:
        """Suggest the nearest command where none has the name."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from netdef.schema.suggest import nearest

            known = nearest(args[0], COMMANDS)
            ctx.fail(f"no command {args[0]!r}" + (f"; did you mean {known!r}?" if known else ""))
        return super().resolve_command(ctx, args)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="netdef", prog_name="netdef")
def group() -> None:
    """A Caffe-style declarative model compiler: prototxt in, PyTorch training and proven ONNX out."""


def main() -> None:
    """Run the command line; every error ends in a diagnostic and an exit code, never in a traceback."""
    have_streams()
    leave(_run())


def _run() -> int:
    try:
        return _heard(group(standalone_mode=False) or 0)
    except NetdefError as failure:
        _tell(failure.diagnostics)
        return failure.exit_code
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.ClickException as usage:
        wait_for_first()
        usage.show()
        return usage.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("stopped", err=True)
        return 130
    except BrokenPipeError:
        # Nobody reads any more (`netdef … | head`); keep the interpreter from complaining when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as failure:
        _tell([error("ND0016", _describe(failure))])
        return FAILED
    except MemoryError:
        _tell([error("ND0017", "out of memory", help="a smaller batch_size with a larger iter_size needs less")])
        return FAILED
    except Exception as bug:  # the outermost boundary: whatever slips through is a bug of netdef
        _tell([error("ND0001", f"a bug in netdef: {type(bug).__name__}: {bug}", help=_BUG_HELP)])
        if os.environ.get("NETDEF_DEBUG"):
            traceback.print_exc()
        return FAILED


def _heard(code: int) -> int:
    """An exit code, after all that is held back is printed: where that finds no room, the command has failed."""
    sys.stdout.flush()
    return code


def _tell(found: Sequence[Diagnostic]) -> None:
    wait_for_first()
    with suppress(OSError):  # nobody hears it: the exit code still tells
        show(found)


_BUG_HELP = "please report it with the input that led here; NETDEF_DEBUG=1 shows the traceback"


def _describe(failure: OSError) -> str:
    where = f": {failure.filename}" if failure.filename else ""
    return f"{failure.strerror or failure}{where}"
