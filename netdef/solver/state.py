"""How is a run's state taken for a snapshot, and put back from one?"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from netdef.diagnostics import Diagnostic, NetdefError, error, warning
from netdef.nn.recurrent import Recurrent
from netdef.solver.run import Run, load_weights
from netdef.solver.running import RunningNet
from netdef.solver.snapshot import Content, averages_path, learned_net, run_state_path
from netdef.targets.torch import layer_blobs, net_layers, shared_blobs, tensors
from netdef.targets.torch.parts import whole
from netdef.weights import LayerWeights, SolverStateFile, match, read_run_state, read_solverstate, read_weights

PathLike = str | os.PathLike[str]
T = TypeVar("T")


def capture(run: Run) -> Content:
    """All that a snapshot of the run as it is now holds; of several processes the first alone gets the arrays."""
    position = {"train": run.train.feed.state(), "tests": [net.feed.state() for net in run.tests]}
    return Content(
        net_name=run.train.graph.name,
        layers=_at_once(run, _layers(run, diffs=run.config.snapshot_diff)),
        iteration=run.iter,
        current_step=run.current_step,
        history=_kept(run, (row.detach().to("cpu").contiguous().numpy() for row in run.optimizer.history())),
        arrays={**run.random.arrays(), **_carried(run, whole=True)},
        values={
            "iteration": run.iter,
            "type": run.config.type,
            "seed": run.random.seed,
            "data": position,
            "losses": list(run.losses.recent),
            "scale": run.scale.state(),
            "watched": {name: standing.state() for name, standing in run.standings.items()},
        },
        averages=_averages(run),
    )


def restore(run: Run, path: PathLike) -> tuple[Diagnostic, ...]:
    """Put a snapshot back: weights, history, iteration, and the run state where there is one of this snapshot.

    Raises:
        NetdefError: a file is damaged, missing or of another net or type of solver.
    """
    place = Path(path)
    state = read_solverstate(place)
    extra, found = _run_state(place, state.iter)
    _check_type(run, place, state, extra)
    _check_shapes(run, place, state)
    _check_layers(run, place, state)
    found += _restore_average(run, place)
    found += load_weights((run.train, *run.tests), [learned_net(place, state.learned_net)])
    run.optimizer.load_history([torch.from_numpy(np.array(row, np.float32)) for row in state.history])
    run.iter = run.optimizer.iteration = state.iter
    run.current_step = state.current_step
    if extra is not None:
        _resume(run, extra)
    return found


def bookmark(run: Run) -> Callable[[], None]:
    """Where the run stands between two iterations; calling it goes back there after a test that was broken off."""
    positions = [net.feed.state() for net in (run.train, *run.tests)]
    carried = {name: array.copy() for name, array in _carried(run, whole=False).items()}

    def back() -> None:
        for net, position in zip((run.train, *run.tests), positions, strict=True):
            net.feed.restore(position)
        _carry_on(run, carried, whole=False)

    return back


def _layers(run: Run, *, diffs: bool = False) -> Iterator[LayerWeights]:
    """The training net's layers; in HDF5 a shared parameter stands with its owner alone."""
    graph = run.train.graph
    borrowed = shared_blobs(graph) if run.config.snapshot_format == "HDF5" else set()
    for node, layer in zip(graph.nodes, layer_blobs(run.train.module, graph), strict=True):
        kept = [i for i in range(len(layer.blobs)) if (layer.name, i) not in borrowed]
        keys = tuple(map(str, kept)) if len(kept) < len(layer.blobs) else ()
        blobs = [np.ascontiguousarray(layer.blobs[i]) for i in kept]
        updates = [_update(run, node.params[i].id) for i in kept] if diffs else []
        made = [_diff(update, blob) for update, blob in zip(updates, blobs, strict=False)]
        yield LayerWeights(layer.name, layer.type, blobs, made, keys)


def _update(run: Run, param: str) -> Tensor | None:
    """What the last update subtracted from a parameter; from all of it where processes hold parts."""
    part = run.update.get(param)
    return None if part is None else whole(part, tensors(run.train.module, run.train.graph)[param])


def _diff(update: Tensor | None, blob: NDArray[np.float32]) -> NDArray[np.float32]:
    """What the last update subtracted, which Caffe keeps in the place of the gradient; 0 before the first."""
    if update is None:
        return np.zeros_like(blob)
    return np.ascontiguousarray(update.float().cpu().numpy()).reshape(blob.shape)


@contextmanager
def averaged(run: Run) -> Iterator[Iterable[LayerWeights]]:
    """Lend the layers with their averaged weights, or their own where there is no average; see `_at_once`."""
    with run.average.in_place() if run.average else nullcontext():
        yield _at_once(run, _layers(run))


def _averages(run: Run) -> AbstractContextManager[Iterable[LayerWeights]] | None:
    if run.average is None:
        return None
    if not run.train.style.in_parts:
        return averaged(run)
    with averaged(run) as layers:
        return nullcontext(layers)


def _at_once(run: Run, layers: Iterable[LayerWeights]) -> Iterable[LayerWeights]:
    """Layers as they are asked for, one by one; all of them now where every process has to bring its parts."""
    return _kept(run, map(_copied, layers)) if run.train.style.in_parts else layers


def _copied(layer: LayerWeights) -> LayerWeights:
    """A layer whose arrays stay as they are now, whatever becomes of the weights."""
    return replace(layer, blobs=[blob.copy() for blob in layer.blobs])


def _kept(run: Run, items: Iterable[T]) -> tuple[T, ...]:
    """All of them for the first process, which writes; the others take part in making them."""
    if run.train.team.leads:
        return tuple(items)
    deque(items, maxlen=0)
    return ()


def _carried(run: Run, *, whole: bool) -> dict[str, NDArray[Any]]:
    """What modules keep from batch to batch beside parameters and statistics: the state of LSTM and RNN.

    `whole`: that of all processes' streams, which each asks for at the same time.
    """
    found = {}
    for number, net in enumerate((run.train, *run.tests)):
        for owner, name, buffer in _memory(net):
            value = net.together(buffer) if whole and isinstance(owner, Recurrent) else buffer
            found[f"net{number}.{name}"] = value.cpu().numpy()
    return found


def _carry_on(run: Run, arrays: Mapping[str, NDArray[Any]], *, whole: bool) -> None:
    """Put back what `_carried` took."""
    for number, net in enumerate((run.train, *run.tests)):
        for owner, name, buffer in list(_memory(net)):
            stored = arrays.get(f"net{number}.{name}")
            if stored is None:
                continue
            value = torch.from_numpy(np.array(stored))
            value = net.own_part(value) if whole and isinstance(owner, Recurrent) else value
            if value.shape == buffer.shape:
                buffer.copy_(value)  # in its place, which a recording may read
            else:
                setattr(owner, name.rpartition(".")[2], value.to(buffer.device))


def _memory(net: RunningNet) -> Iterator[tuple[nn.Module, str, Tensor]]:
    """The buffers that are no statistics, with their names and the modules that hold them."""
    held = {id(tensor) for tensor in tensors(net.module, net.graph).values()}
    for name, buffer in net.module.named_buffers():
        if id(buffer) not in held:
            yield net.module.get_submodule(name.rpartition(".")[0]), name, buffer


Extra = tuple[dict[str, Any], Mapping[str, Any]]
"""Arrays and values of a run state."""


def _run_state(state: Path, iteration: int) -> tuple[Extra | None, tuple[Diagnostic, ...]]:
    """The run state beside a solver state; a warning where it cannot be used, none where there is none (Caffe's)."""
    path = run_state_path(state)
    if not path.exists():
        return None, ()
    try:
        arrays, values = read_run_state(path)
    except NetdefError as fault:
        return None, (warning("ND0807", f"{fault.diagnostics[0].message}: going on without it"),)
    if values.get("iteration") != iteration:
        found = f"{path} is of iteration {values.get('iteration')}, {state} of {iteration}: going on without it"
        return None, (warning("ND0807", found),)
    return (arrays, values), ()


def _restore_average(run: Run, state: Path) -> tuple[Diagnostic, ...]:
    """Put the averages back by way of the weights, which are loaded after them."""
    if run.average is None:
        return ()
    path = averages_path(state)
    found: tuple[Diagnostic, ...] = ()
    if path.is_file():
        load_weights((run.train,), [path])
    else:
        load_weights((run.train,), [learned_net(state, read_solverstate(state).learned_net)])
        found = (warning("ND0807", f"{path} is not there: the average begins anew from the weights"),)
    run.average.begin()
    return found


def _resume(run: Run, extra: Extra) -> None:
    arrays, values = extra
    run.random.restore(arrays)
    run.scale.restore(values.get("scale") or {})
    _carry_on(run, arrays, whole=True)
    run.losses.recent.clear()
    run.losses.recent.extend(values["losses"])
    for name, standing in run.standings.items():
        if name in values.get("watched", {}):
            standing.restore(values["watched"][name])
    run.train.feed.restore(values["data"]["train"])
    for net, position in zip(run.tests, values["data"]["tests"], strict=False):
        net.feed.restore(position)


def _check_type(run: Run, path: Path, state: SolverStateFile, extra: Extra | None) -> None:
    """Refuse a state of another update rule: by its name, or, in Caffe's files, by the number of its arrays."""
    kind, rows, count = run.config.type, run.optimizer.rule.rows, len(run.train.graph.params)
    if extra is not None and extra[1].get("type") != kind:
        raise _other(path, f"it was written with type {extra[1].get('type')}, this solver has {kind}")
    if len(state.history) != rows * count:
        found = f"it holds {len(state.history)} arrays; {kind} keeps {rows * count} for this net"
        likely = ": another type of solver" if len(state.history) in (count, 2 * count) else ""
        raise _other(path, found + likely)


def _check_shapes(run: Run, path: Path, state: SolverStateFile) -> None:
    params = list(run.train.graph.params.values()) * run.optimizer.rule.rows
    for index, (row, param) in enumerate(zip(state.history, params, strict=True)):
        shape = param.spec.shape.known_sizes()
        if _plain(row.shape) != _plain(shape):
            found = "x".join(map(str, row.shape))
            raise _other(path, f'array {index} is {found}, and "{param.id}" of this net is {param.spec.shape}')


def _check_layers(run: Run, path: Path, state: SolverStateFile) -> None:
    """Refuse weights that leave a layer at its fillers, with the history of one of another name."""
    graph = run.train.graph
    weights = read_weights(learned_net(path, state.learned_net))
    left = match(net_layers(graph), weights, shared=shared_blobs(graph)).left
    if left:
        raise _other(path, f'its weights have no layer "{left[0]}"')


def _plain(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape without the ones in front that old files have."""
    while shape and shape[0] == 1:
        shape = shape[1:]
    return shape


def _other(path: Path, what: str) -> NetdefError:
    help = "to begin anew from its weights, use --weights"
    return NetdefError([error("ND0804", f"{path} is of another run: {what}", help=help)])
