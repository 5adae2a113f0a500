"""`netdef check`: every mistake in nets and solvers, in one run, in a form for people or for programs."""

from __future__ import annotations

from pathlib import Path

import click

from netdef.cli.options import net_options
from netdef.cli.report import FORMATS, show
from netdef.diagnostics import Diagnostic, NetdefError, has_errors
from netdef.diagnostics.fixes import apply_fixes
from netdef.diagnostics.words import counted
from netdef.files import write_atomic
from netdef.graph import Options
from netdef.ir import dump
from netdef.report.check import Findings, check_file
from netdef.schema.read import read_source


@click.command("check")
@click.argument("files", nargs=-1, required=True, type=click.Path(readable=False))
@net_options()
@click.option("--format", "form", type=click.Choice(FORMATS), default="text", show_default=True)
@click.option("--fix", is_flag=True, help="Mend what can be mended for certain, and write the files.")
@click.option("--dump", "dumped", is_flag=True, help="Print the graph of each net that is right.")
def command(
    files: tuple[str, ...],
    options: Options,
    form: str,
    fix: bool,
    dumped: bool,
) -> None:
    """Find every mistake in FILES: nets, and solvers together with the nets they name.

    A net is checked for each phase that it is written for. Exit code 1 when there is an error.
    """
    found = [_check(file, options, fix) for file in files]
    diagnostics = [diagnostic for findings in found for diagnostic in findings.diagnostics]
    show(diagnostics, form)
    if dumped:
        for graph in (graph for findings in found for graph in findings.graphs):
            click.echo(dump(graph))
    if form == "text":
        _conclude(len(files), diagnostics)
    if has_errors(diagnostics):
        raise click.exceptions.Exit(1)


def _check(file: str, options: Options, fix: bool) -> Findings:
    findings = check_file(file, options)
    if not fix:
        return findings
    while _mend(findings.diagnostics):
        findings = check_file(file, options)
    return findings


def _mend(diagnostics: tuple[Diagnostic, ...]) -> bool:
    """Apply the fixes to the files they belong to; whether there was any."""
    names = {edit.span.source.name for d in diagnostics if d.fix for edit in d.fix.edits}
    for name in names:
        source = read_source(name)
        mended = apply_fixes(source, [d for d in diagnostics if d.span and d.span.source.name == name])
        if mended == source.text:
            return False
        try:
            write_atomic(Path(name), mended)
        except OSError as failure:
            raise NetdefError(diagnostics) from failure
        click.echo(f"mended {name}", err=True)
    return bool(names)


def _conclude(num_files: int, diagnostics: list[Diagnostic]) -> None:
    errors = sum(d.severity.value == "error" for d in diagnostics)
    warnings = sum(d.severity.value == "warning" for d in diagnostics)
    tally = [counted(n, word) for n, word in ((errors, "error"), (warnings, "warning")) if n]
    click.echo(f"{counted(num_files, 'file')}: {', '.join(tally) or 'all good'}", err=True)
