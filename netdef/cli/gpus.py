"""Which GPU does `--gpu` name, and how many processes does a command line ask for?"""

from __future__ import annotations

import click

from netdef.diagnostics import NetdefError, error
from netdef.ranks import local_rank, local_world_size, world_size


def gpu_number(text: str | None) -> int | None:
    """The one GPU that `--gpu` names; `all` is the first as long as there is only one.

    Raises:
        NetdefError: ND0713, several are asked for.
    """
    numbers = gpu_numbers(text)
    if len(numbers) > 1:
        help = "name one: `--gpu 0`"
        raise NetdefError([error("ND0713", f"{len(numbers)} GPUs were asked for; this command uses one", help=help)])
    return numbers[0] if numbers else None


def own_gpu(text: str | None) -> int | None:
    """Of the GPUs that `--gpu` names, this process's: by its place among those on this machine.

    Raises:
        NetdefError: ND0711, they are fewer than the processes; two on one GPU cannot exchange gradients.
    """
    numbers, needed = gpu_numbers(text), max(local_world_size(), local_rank() + 1)
    if numbers and len(numbers) < needed:
        message = f"{needed} processes need a GPU each, and `--gpu {text}` names {len(numbers)}"
        raise NetdefError([error("ND0711", message, help="name as many, or leave `--processes` out")])
    return numbers[local_rank()] if numbers else None


def num_processes(gpu: str | None, wanted: int | None) -> int:
    """How many processes to start: `--processes`, else one a GPU; one where somebody has started several already."""
    if world_size() > 1:
        return 1
    return wanted or max(1, len(gpu_numbers(gpu)))


def gpu_numbers(text: str | None) -> list[int]:
    """The GPUs that `--gpu` names: a number, several with commas, or `all`; none where it is not given."""
    if text is None:
        return []
    if text == "all":
        import torch

        return list(range(max(torch.cuda.device_count(), 1)))
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise click.BadParameter(f"{text!r} is neither a number nor `all`", param_hint="--gpu")
    if len(set(parts)) < len(parts):
        raise click.BadParameter(f"{text!r} names a GPU twice", param_hint="--gpu")
    return [int(part) for part in parts]
