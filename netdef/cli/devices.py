"""`netdef devices`: what can train here."""

from __future__ import annotations

import json
from collections.abc import Iterator

import click

from netdef.cli.summary import size
from netdef.diagnostics.words import counted
from netdef.report.devices import Devices, Gpu, Processor, find_devices


@click.command("devices")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def command(form: str) -> None:
    """List the processor and every CUDA device, with their memory and the precisions that they are fast in."""
    devices = find_devices()
    if form == "json":
        click.echo(json.dumps(devices.as_json(), indent=2))
    else:
        for line in _lines(devices):
            click.echo(line)


def _lines(devices: Devices) -> Iterator[str]:
    yield from _processor(devices.processor)
    for gpu in devices.gpus:
        yield from _gpu(gpu)
    if not devices.gpus:
        yield f"no GPU: {devices.why_no_gpu}"
    yield f"torch {devices.torch}" + (f", CUDA {devices.cuda}" if devices.cuda else "")


def _processor(cpu: Processor) -> Iterator[str]:
    yield f"CPU    {cpu.name}"
    yield f"       {counted(cpu.cores, 'core')}, {counted(cpu.threads, 'thread')} for torch"
    if cpu.memory_bytes is not None:
        yield f"       {_memory(cpu.memory_bytes, cpu.free_bytes)}"
    yield f"       {_precisions(BF16=cpu.bf16)}"


def _gpu(gpu: Gpu) -> Iterator[str]:
    yield f"GPU {gpu.number:<2} {gpu.name}"
    yield f"       compute capability {gpu.capability}"
    yield f"       {_memory(gpu.memory_bytes, gpu.free_bytes)}"
    yield f"       {_precisions(TF32=gpu.tf32, BF16=gpu.bf16, FP16=gpu.fp16)}"


def _memory(whole: int, free: int | None) -> str:
    return f"{size(whole)} of memory" + (f", {size(free)} free" if free is not None else "")


def _precisions(*, TF32: bool = False, BF16: bool = False, FP16: bool = False) -> str:  # noqa: N803  the schema's words
    fast = [name for name, there in (("TF32", TF32), ("BF16", BF16), ("FP16", FP16)) if there]
    return f"precision: {', '.join(['FP32', *fast])}"
