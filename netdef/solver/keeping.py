"""How do the processes of a run write what it has learned, and what do they say where that fails?"""

from __future__ import annotations

from pathlib import Path

from netdef.diagnostics import NetdefError, RunError, error
from netdef.solver import snapshot as snapshots
from netdef.solver import state
from netdef.solver.rescue import why
from netdef.solver.run import Run


def keep(run: Run) -> snapshots.Place:
    """Take a snapshot: the first process writes, every process gets the error.

    Raises:
        RunError: ND0802, it cannot be written; what was there before is untouched.
    """
    config, team = run.config, run.train.team
    place = snapshots.Place.of(config.snapshot_prefix, run.iter, config.snapshot_format)
    content, failure = state.capture(run), None
    if team.leads:
        try:
            snapshots.prepare(config.snapshot_prefix)
            snapshots.write(place, content)
            snapshots.prune(config.snapshot_prefix, config.snapshot_keep, run.iter)
        except (NetdefError, OSError) as fault:
            failure = _unwritten(f"no snapshot at iteration {run.iter}", fault)
    (failed,) = team.any(failure is not None)
    if failed:
        missing = f"no snapshot at iteration {run.iter}"
        raise failure or _unwritten(missing, OSError("the first process could not write it"))
    return place


def keep_best(run: Run) -> Path | None:
    """Write the weights as they are tested; None in the processes that do not write.

    Raises:
        RunError: ND0802, they cannot be written.
    """
    config = run.config
    path = snapshots.best_path(config.snapshot_prefix, config.snapshot_format)
    try:
        with state.averaged(run) as layers:
            if not run.train.team.leads:
                return None
            snapshots.prepare(config.snapshot_prefix)
            as_hdf5 = config.snapshot_format == "HDF5"
            snapshots.write_weights(path, run.train.graph.name, layers, as_hdf5=as_hdf5)
    except (NetdefError, OSError) as fault:
        raise _unwritten(f"the best weights, of iteration {run.iter}, are not kept", fault) from fault
    return path


def _unwritten(what: str, fault: NetdefError | OSError) -> RunError:
    help = "free some space, or change `snapshot_prefix`; what was written before is untouched"
    return RunError([error("ND0802", f"{what}: {why(fault)}", help=help)])
