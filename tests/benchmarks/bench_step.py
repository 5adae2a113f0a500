"""How long does a training step take, against the same net hand-written in PyTorch?

    python tests/benchmarks/bench_step.py [--nets lenet,cifar10_quick,alexnet,resnet18,resnet50] [--rounds 60]
        [--modes eager,compiled] [--device cpu|cuda] [--precision FP32|TF32|BF16] [--batch N] [--cuda-graphs]

Both sides have the same memory format (channels_last), precision (autocast, and the same settings of torch's, which
are the process's), update rule (SGD with momentum and weight decay, torch's fused kernel) and batch; compiled, both
compile loss and net as one. They take turns in one process, in a random order; the figure is the median of the ratios
of neighbouring turns. netdef's side is `Solver.step` with all that belongs to it: data, the check for divergence, the
rate, the log. On both sides the batch stays where it is computed with: what readers cost is not asked here.
Memory is what a step takes on a GPU at its peak beside what lies there before (not told with CUDA graphs, which keep
theirs), and what is kept for the way back on the CPU.

On one GPU, images a second:

    python tests/benchmarks/bench_step.py --device cuda --precision BF16 --nets resnet50 --batch 256 --modes compiled
    python tests/benchmarks/bench_step.py --device cuda --precision BF16 --nets caffenet --batch 1024
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from netdef.solver.loop import Solver

EXAMPLES = Path(__file__).parents[2] / "examples"
SHAPES = {"lenet": (64, 1, 28, 28), "cifar10_quick": (100, 3, 32, 32), "alexnet": (16, 3, 227, 227)}
SHAPES |= {"caffenet": (16, 3, 227, 227), "resnet18": (8, 3, 224, 224), "resnet50": (8, 3, 224, 224)}


@dataclass(frozen=True)
class Way:
    """How both sides compute."""

    device: str = "cpu"
    precision: str = "FP32"
    compiled: bool = False
    graphs: bool = False
    batch: int | None = None

    def shape(self, name: str) -> tuple[int, ...]:
        return (self.batch or SHAPES[name][0], *SHAPES[name][1:])


def net_text(name: str) -> str:
    """The example's layers behind its data; CaffeNet is AlexNet with each LRN behind its pooling."""
    text = (EXAMPLES / ("alexnet" if name == "caffenet" else name) / "train_val.prototxt").read_text()
    text = text[text.index('layer {\n  name: "conv1"') :]
    if name != "caffenet":
        return text
    blocks = text.split("\n\n")
    for number, after in ((1, "conv2"), (2, "conv3")):
        norm, pool = (
            next(i for i, block in enumerate(blocks) if f'name: "{kind}{number}"' in block) for kind in ("norm", "pool")
        )
        blocks[norm], blocks[pool] = (
            blocks[pool].replace(f'bottom: "norm{number}"', f'bottom: "conv{number}"'),
            blocks[norm].replace(f'bottom: "conv{number}"', f'bottom: "pool{number}"'),
        )
        blocks = [
            block.replace(f'bottom: "pool{number}"', f'bottom: "norm{number}"')
            if f'name: "{after}"' in block
            else block
            for block in blocks
        ]
    return "\n\n".join(blocks)


def solver(name: str, folder: Path, way: Way) -> Solver:
    """The example's net with constant data in the place of its database."""
    sizes = " ".join(f"dim: {size}" for size in way.shape(name))
    data = f"""layer {{ name: "data" type: "DummyData" top: "data" top: "label" dummy_data_param {{
      shape {{ {sizes} }} shape {{ dim: {way.shape(name)[0]} }}
      data_filler {{ type: "constant" value: 0.5 }} data_filler {{ type: "constant" }} }} }}
    """
    (folder / "net.prototxt").write_text(data + net_text(name))
    mode = "GPU" if way.device == "cuda" else "CPU"
    (folder / "solver.prototxt").write_text(
        f'net: "{folder}/net.prototxt" base_lr: 0.001 lr_policy: "inv" gamma: 0.0001 power: 0.75 momentum: 0.9 '
        f"weight_decay: 0.0005 max_iter: 1000000 snapshot_after_train: false random_seed: 1 solver_mode: {mode} "
        f"compile: {str(way.compiled).lower()} precision: {way.precision} cuda_graphs: {str(way.graphs).lower()}"
    )
    return Solver(folder / "solver.prototxt", device=way.device)


class LeNet(nn.Module):
    """As examples/lenet."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 20, 5), nn.Conv2d(20, 50, 5)
        self.ip1, self.ip2 = nn.Linear(800, 500), nn.Linear(500, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(self.conv1(x), 2, 2)
        x = F.max_pool2d(self.conv2(x), 2, 2)
        return self.ip2(F.relu(self.ip1(x.flatten(1))))


class Cifar10Quick(nn.Module):
    """As examples/cifar10_quick."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 32, 5, padding=2), nn.Conv2d(32, 32, 5, padding=2)
        self.conv3 = nn.Conv2d(32, 64, 5, padding=2)
        self.ip1, self.ip2 = nn.Linear(1024, 64), nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(F.max_pool2d(self.conv1(x), 3, 2, ceil_mode=True))
        x = F.avg_pool2d(F.relu(self.conv2(x)), 3, 2, ceil_mode=True)
        x = F.avg_pool2d(F.relu(self.conv3(x)), 3, 2, ceil_mode=True)
        return self.ip2(self.ip1(x.flatten(1)))


class AlexNet(nn.Module):
    """As examples/alexnet: two groups, LRN behind the first two ReLUs; in CaffeNet behind the poolings."""

    def __init__(self, pool_first: bool = False) -> None:
        super().__init__()
        self.pool_first = pool_first
        self.conv1, self.conv2 = nn.Conv2d(3, 96, 11, 4), nn.Conv2d(96, 256, 5, padding=2, groups=2)
        self.conv3, self.conv4 = nn.Conv2d(256, 384, 3, padding=1), nn.Conv2d(384, 384, 3, padding=1, groups=2)
        self.conv5 = nn.Conv2d(384, 256, 3, padding=1, groups=2)
        self.fc6, self.fc7, self.fc8 = nn.Linear(9216, 4096), nn.Linear(4096, 4096), nn.Linear(4096, 1000)

    def forward(self, x: Tensor) -> Tensor:
        x = self.shrink(F.relu(self.conv1(x)))
        x = self.shrink(F.relu(self.conv2(x)))
        x = F.relu(self.conv4(F.relu(self.conv3(x))))
        x = F.max_pool2d(F.relu(self.conv5(x)), 3, 2).flatten(1)
        x = F.dropout(F.relu(self.fc6(x)), 0.5, self.training)
        return self.fc8(F.dropout(F.relu(self.fc7(x)), 0.5, self.training))

    def shrink(self, x: Tensor) -> Tensor:
        if self.pool_first:
            return F.local_response_norm(F.max_pool2d(x, 3, 2), 5)
        return F.max_pool2d(F.local_response_norm(x, 5), 3, 2)


def conv_norm(before: int, after: int, size: int, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(before, after, size, stride, size // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(after))


class Residual(nn.Module):
    """A basic block of two convolutions, or a bottleneck of three (the stride in the first, as in the paper)."""

    def __init__(self, before: int, width: int, stride: int, bottleneck: bool) -> None:
        super().__init__()
        after = width * 4 if bottleneck else width
        sizes = [(before, width, 1), (width, width, 3), (width, after, 1)] if bottleneck else []
        sizes = sizes or [(before, width, 3), (width, width, 3)]
        strides = stride, 1, 1
        self.steps = nn.ModuleList(conv_norm(*step, first) for step, first in zip(sizes, strides, strict=False))
        self.short = conv_norm(before, after, 1, stride) if stride > 1 or before != after else None

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for step in self.steps[:-1]:
            y = F.relu(step(y), inplace=True)
        y = self.steps[-1](y)
        return F.relu(y + (x if self.short is None else self.short(x)), inplace=True)


class ResNet(nn.Module):
    """As examples/resnet18 and resnet50."""

    def __init__(self, counts: tuple[int, ...], bottleneck: bool) -> None:
        super().__init__()
        self.begin = conv_norm(3, 64, 7, 2)
        blocks, before = [], 64
        for stage, count in enumerate(counts):
            for block in range(count):
                blocks.append(Residual(before, 64 << stage, 2 if stage and not block else 1, bottleneck))
                before = (64 << stage) * (4 if bottleneck else 1)
        self.blocks, self.end = nn.Sequential(*blocks), nn.Linear(before, 1000)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.begin(x), inplace=True), 3, 2, ceil_mode=True)
        return self.end(self.blocks(x).mean((2, 3)))


MODELS: dict[str, Callable[[], nn.Module]] = {
    "lenet": LeNet,
    "cifar10_quick": Cifar10Quick,
    "alexnet": AlexNet,
    "caffenet": lambda: AlexNet(pool_first=True),
    "resnet18": lambda: ResNet((2, 2, 2, 2), False),
    "resnet50": lambda: ResNet((3, 4, 6, 3), True),
}


class Criterion(nn.Module):
    """A net and its loss as one."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        return F.cross_entropy(self.model(x), label)


def by_hand(name: str, way: Way) -> Callable[[int], None]:
    """A function that makes so many steps of a plain loop."""
    model = MODELS[name]().to(way.device, memory_format=torch.channels_last)
    weights = [p for n, p in model.named_parameters() if n.endswith("weight")]
    biases = [p for n, p in model.named_parameters() if n.endswith("bias")]
    groups = [{"params": weights, "lr": 0.001}, {"params": biases, "lr": 0.002}]
    optimizer = torch.optim.SGD(groups, momentum=0.9, weight_decay=0.0005, fused=True)
    data = torch.full(way.shape(name), 0.5).to(way.device, memory_format=torch.channels_last)
    label = torch.zeros(way.shape(name)[0], dtype=torch.long, device=way.device)
    compute = wrapped(Criterion(model), way, (data, label))

    def steps(count: int) -> None:
        for _ in range(count):
            with autocast(way):
                loss = compute(data, label)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    return steps


def wrapped(criterion: nn.Module, way: Way, sample: tuple[Tensor, Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """The module compiled, recorded, or as it is."""
    if way.compiled:
        return torch.compile(criterion, mode="reduce-overhead" if way.graphs else None)
    if way.graphs:
        with torch.autocast("cuda", torch.bfloat16, enabled=way.precision == "BF16", cache_enabled=False):
            return torch.cuda.make_graphed_callables(criterion, sample)
    return criterion


def autocast(way: Way):
    """What the way forward runs inside."""
    return torch.autocast(way.device, torch.bfloat16) if way.precision == "BF16" else nullcontext()


def timed(steps: Callable[[int], None], count: int, device: str) -> float:
    """Seconds for one step, the mean of `count`."""
    start = time.perf_counter()
    steps(count)
    if device == "cuda":
        torch.cuda.synchronize()
    return (time.perf_counter() - start) / count


def memory(steps: Callable[[int], None], device: str) -> float:
    """Megabytes of a step: its peak on a GPU beside what was there, else what is kept for the way back."""
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        steps(1)
        torch.cuda.synchronize()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        steps(1)
    return sum(kept.values()) / 2**20


def compare(name: str, rounds: int, way: Way) -> None:
    """Print the medians of both sides and of their ratio, images a second, and the memory of both."""
    with tempfile.TemporaryDirectory() as folder, solver(name, Path(folder), way) as ours:
        sides = ours.step, by_hand(name, way)
        for side in sides:
            side(5)
        kept = [memory(side, way.device) for side in sides]
        count = max(1, round(0.05 / timed(sides[1], 3, way.device)))
        pairs, shuffled = [], random.Random(0)
        for _ in range(rounds):
            order = shuffled.sample(sides, 2)
            seconds = {side: timed(side, count, way.device) for side in order}
            pairs.append((seconds[sides[0]], seconds[sides[1]]))
    a, b = (statistics.median(column) * 1e3 for column in zip(*pairs, strict=True))
    ratio = statistics.median(x / y for x, y in pairs)
    rows = way.shape(name)[0]
    print(f"{name:14}{'compiled' if way.compiled else 'eager':9}batch {rows:<5}", end="")
    print(f"netdef {a:8.3f} ms   by hand {b:8.3f} ms   ratio {ratio:.3f}   {rows / a * 1e3:8.1f} images/s", end="")
    shown = f"   memory {kept[0]:.1f} and {kept[1]:.1f} MB, ratio {kept[0] / max(kept[1], 1e-9):.3f}"
    print("" if way.graphs else shown, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nets", default="lenet,cifar10_quick,alexnet,resnet18,resnet50")
    parser.add_argument("--modes", default="eager,compiled")
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="FP32")
    parser.add_argument("--batch", type=int)
    parser.add_argument("--cuda-graphs", action="store_true")
    args = parser.parse_args()
    device = torch.cuda.get_device_name() if args.device == "cuda" else f"cpu, {torch.get_num_threads()} threads"
    print(f"torch {torch.__version__}, {device}, {args.precision}, {args.rounds} turns a side")
    for name in args.nets.split(","):
        for mode in args.modes.split(","):
            way = Way(args.device, args.precision, mode == "compiled", args.cuda_graphs, args.batch)
            compare(name, args.rounds, way)


if __name__ == "__main__":
    main()
