"""How much does each class count in a loss, and how sharp is the target?"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Self

from netdef.ir import Shape
from netdef.layers.base import Mismatch
from netdef.layers.block import Block


@dataclass(frozen=True, slots=True)
class Balance:
    """How much each class counts, and how sharp the target is: netdef's own fields of LossParameter."""

    label_smoothing: float = 0.0
    class_weight: tuple[float, ...] = ()

    @property
    def is_plain(self) -> bool:
        """Whether all is as in Caffe."""
        return not self.label_smoothing and not self.class_weight

    @classmethod
    def decode(cls, block: Block) -> Self:
        """Read `loss_param`."""
        smoothing, weights = float(block.message.label_smoothing), tuple(block.message.class_weight)
        if not 0 <= smoothing <= 1:
            block.reject("ND0469", f"`label_smoothing` must be from 0 to 1, found {smoothing:.6g}", "label_smoothing")
        for index, weight in enumerate(weights):
            if not 0 <= weight < inf:
                block.reject("ND0469", f"a class weight must be at least 0, found {weight:.6g}", "class_weight", index)
        if weights and not any(weights):
            block.reject("ND0469", "every class weight is 0: nothing would be learned", "class_weight")
        return cls(smoothing, weights)

    def check(self, scores: Shape, axis: int) -> None:
        """See that there is one weight for each class.

        Raises:
            Mismatch: there is not.
        """
        classes = scores[axis] if scores.ranked and scores.rank else None
        if self.class_weight and classes is not None and len(self.class_weight) != classes:
            message = f"{len(self.class_weight)} `class_weight` for {classes} classes ({scores}): give one for each"
            raise Mismatch(message, bottom=0, code="ND0469")


PLAIN = Balance()


def refuse_balance(block: Block) -> None:
    """Refuse the fields of Balance in a loss that has no use for them."""
    for name in ("label_smoothing", "class_weight"):
        if block.message.class_weight if name == "class_weight" else block.has(name):
            help = "remove it; InfogainLoss weighs classes by its matrix"
            block.reject("ND0469", f"`{name}` belongs to SoftmaxWithLoss", name, help=help)
