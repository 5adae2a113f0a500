"""The losses: from outputs and labels to one number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self, cast

from netdef.ir import SCALAR, Dim, Shape, agree
from netdef.layers.axes import canonical
from netdef.layers.balance import PLAIN, Balance, refuse_balance
from netdef.layers.base import Arity, Layer, Mismatch, Unsupported, between, exactly, layer
from netdef.layers.block import Block
from netdef.layers.record import OnnxBuilder, TorchRecorder, Value

Normalization = Literal["FULL", "VALID", "BATCH_SIZE", "NONE"]


@dataclass(frozen=True, slots=True)
class Loss(Layer):
    """A layer whose first top is the unweighted loss, a scalar; its second bottom holds labels."""

    num_bottoms: ClassVar[Arity] = exactly(2)
    is_loss: ClassVar[bool] = True
    label_bottoms: ClassVar[frozenset[int]] = frozenset({1})

    @classmethod
    def decode(cls, block: Block) -> Self:
        """Nothing to read; a layer with fields overrides this."""
        return cls()

    def normaliser(self, bottoms: tuple[Shape, ...]) -> Dim:
        """What the sum over the batch is divided by, but for a factor, where every label counts: the first axis."""
        return bottoms[0].count(0, 1)

    def onnx(self, g: OnnxBuilder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """None: an exported net has no labels."""
        raise Unsupported(
            f"{self.type} serves training alone", help="export the deploy form, where the net ends in its outputs"
        )


@dataclass(frozen=True, slots=True)
class Counting:
    """Which labels count, and what the sum of the losses is divided by: LossParameter with its defaults resolved.

    Attributes:
        ignore_label: labels of this value count for nothing.
        normalization: as written; without it `normalize` says VALID (true) or BATCH_SIZE (false).
    """

    ignore_label: int | None = None
    normalization: Normalization = "VALID"

    @classmethod
    def decode(cls, block: Block, default: Normalization, *, balanced: bool = False) -> Self:
        """Read `loss_param` (source: Caffe's softmax_loss_layer.cpp, LayerSetUp), but for what is Balance's."""
        m = block.message
        if not balanced:
            refuse_balance(block)
        ignore = int(m.ignore_label) if block.has("ignore_label") else None
        if block.has("normalization"):
            return cls(ignore, cast(Normalization, block.enum("normalization")))
        if block.has("normalize"):
            return cls(ignore, "VALID" if m.normalize else "BATCH_SIZE")
        return cls(ignore, default)

    def normaliser(self, labels: Dim, rows: Dim) -> Dim:
        """The divisor where every one of the labels counts, which stand in so many rows."""
        return {"NONE": 1, "BATCH_SIZE": rows}.get(self.normalization, labels)


@layer("SoftmaxWithLoss")
@dataclass(frozen=True, slots=True)
class SoftmaxWithLoss(Loss):
    """``-sum(log(softmax(x)[label])) / normaliser``; a second top gets the probabilities.

    Unlike torch's cross_entropy: labels come as floats, the normaliser has four modes and is at least 1, and the
    probability is taken as FLT_MIN where it is smaller (the gradient does not know of that).
    Source: Caffe's softmax_loss_layer.cpp. With `label_smoothing` or `class_weight`, which Caffe lacks, it is torch's.
    """

    num_tops: ClassVar[Arity] = between(1, 2)
    axis: int
    counting: Counting
    count: int = 1
    balance: Balance = PLAIN

    @classmethod
    def decode(cls, block: Block) -> Self:
        """Read `softmax_param` and `loss_param`."""
        loss = block.sub("loss_param")
        counting = Counting.decode(loss, "VALID", balanced=True)
        return cls(block.message.softmax_param.axis, counting, block.num_tops, Balance.decode(loss))

    def infer(self, bottoms: tuple[Shape, ...]) -> tuple[Shape, ...]:
        """A scalar, and the scores' shape for the probabilities."""
        match_labels(bottoms[0], bottoms[1], self.axis)
        _same_batch(bottoms)
        self.balance.check(bottoms[0], self.axis)
        return (SCALAR, bottoms[0])[: self.count]

    def normaliser(self, bottoms: tuple[Shape, ...]) -> Dim:
        """As `loss_param` says; the rows are those before the axis of the classes."""
        scores, labels = bottoms[:2]
        return self.counting.normaliser(labels.count(), scores.count(0, canonical(self.axis, scores)))

    def torch(self, g: TorchRecorder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """`netdef.nn.softmax_loss`, or `balanced_softmax_loss`."""
        x, labels = bottoms
        args: tuple[Any, ...] = (x, labels, self.axis, self.counting.ignore_label, self.counting.normalization)
        if self.balance.is_plain:
            loss = g.netdef.softmax_loss(*args)
        else:
            weights = g.netdef.ClassWeights(self.balance.class_weight)() if self.balance.class_weight else None
            loss = g.netdef.balanced_softmax_loss(*args, self.balance.label_smoothing, weights)
        return _with_probabilities(g, loss, x, self.axis, self.count)


@layer("SigmoidCrossEntropyLoss")
@dataclass(frozen=True, slots=True)
class SigmoidCrossEntropyLoss(Loss):
    """``-sum(t log(s) + (1 - t) log(1 - s)) / normaliser`` with ``s = sigmoid(x)``; divides by the batch by default.

    A target is ignored when it equals `ignore_label` after its fraction is cut off.
    Source: Caffe's sigmoid_cross_entropy_loss_layer.cpp.
    """

    counting: Counting

    @classmethod
    def decode(cls, block: Block) -> Self:
        """Read `loss_param`."""
        return cls(Counting.decode(block.sub("loss_param"), "BATCH_SIZE"))

    def infer(self, bottoms: tuple[Shape, ...]) -> tuple[Shape, ...]:
        """A scalar."""
        _same_batch(bottoms)
        _same_count(bottoms, 0)
        return (SCALAR,)

    def normaliser(self, bottoms: tuple[Shape, ...]) -> Dim:
        """As `loss_param` says; every target is a label."""
        return self.counting.normaliser(bottoms[0].count(), bottoms[0].count(0, 1))

    def torch(self, g: TorchRecorder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """`netdef.nn.sigmoid_cross_entropy_loss`."""
        c = self.counting
        return (g.netdef.sigmoid_cross_entropy_loss(*bottoms, c.ignore_label, c.normalization),)


@layer("EuclideanLoss")
@dataclass(frozen=True, slots=True)
class EuclideanLoss(Loss):
    """``sum((a - b)^2) / (2 N)``: half of what torch's mse_loss would be over a row; both bottoms get a gradient.

    Source: Caffe's euclidean_loss_layer.cpp.
    """

    label_bottoms: ClassVar[frozenset[int]] = frozenset()

    def infer(self, bottoms: tuple[Shape, ...]) -> tuple[Shape, ...]:
        """A scalar."""
        _same_batch(bottoms)
        _same_count(bottoms, 1)
        return (SCALAR,)

    def torch(self, g: TorchRecorder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """`netdef.nn.euclidean_loss`."""
        return (g.netdef.euclidean_loss(*bottoms),)


@layer("HingeLoss")
@dataclass(frozen=True, slots=True)
class HingeLoss(Loss):
    """``sum(max(0, 1 - d x)^p) / N``: one against all, d being 1 at the label and -1 elsewhere.

    torch's multi_margin_loss compares with the label's score instead. Source: Caffe's hinge_loss_layer.cpp.
    """

    norm: Literal["L1", "L2"]

    @classmethod
    def decode(cls, block: Block) -> Self:
        """Read `hinge_loss_param`."""
        return cls(cast(Literal["L1", "L2"], block.sub("hinge_loss_param").enum("norm")))

    def infer(self, bottoms: tuple[Shape, ...]) -> tuple[Shape, ...]:
        """A scalar."""
        _same_batch(bottoms)
        _one_a_row(bottoms, 1)
        return (SCALAR,)

    def torch(self, g: TorchRecorder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """`netdef.nn.hinge_loss`."""
        return (g.netdef.hinge_loss(*bottoms, self.norm),)


@layer("MultinomialLogisticLoss")
@dataclass(frozen=True, slots=True)
class MultinomialLogisticLoss(Loss):
    """``-sum(log(max(p[label], 1e-20))) / N`` of probabilities (use SoftmaxWithLoss for scores).

    Source: Caffe's multinomial_logistic_loss_layer.cpp.
    """

    def infer(self, bottoms: tuple[Shape, ...]) -> tuple[Shape, ...]:
        """A scalar."""
        _same_batch(bottoms)
        _one_a_row(bottoms, 1)
        return (SCALAR,)

    def torch(self, g: TorchRecorder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """`netdef.nn.multinomial_logistic_loss`."""
        return (g.netdef.multinomial_logistic_loss(*bottoms),)


@layer("InfogainLoss")
@dataclass(frozen=True, slots=True)
class InfogainLoss(Loss):
    """``-sum(H[label] · log(softmax(x))) / normaliser``: the row H[label] tells how good each class is for that label.

    H comes from a file (a BlobProto) or as a third bottom; the softmax is inside. A second top gets the
    probabilities. Source: Caffe's infogain_loss_layer.cpp.
    """

    num_bottoms: ClassVar[Arity] = between(2, 3)
    num_tops: ClassVar[Arity] = between(1, 2)
    label_bottoms: ClassVar[frozenset[int]] = frozenset({1, 2})
    source: str
    axis: int
    counting: Counting
    count: int = 1

    @classmethod
    def decode(cls, block: Block) -> Self:
        """Read `infogain_loss_param` and `loss_param`."""
        m = block.message.infogain_loss_param
        if block.num_bottoms < 3 and not m.source:
            block.reject(
                "ND0463",
                "InfogainLoss has no matrix H: neither a third bottom nor a file",
                "infogain_loss_param",
                help='name a BlobProto file: infogain_loss_param { source: "H.binaryproto" }',
            )
        return cls(m.source, m.axis, Counting.decode(block.sub("loss_param"), "VALID"), block.num_tops)

    def infer(self, bottoms: tuple[Shape, ...]) -> tuple[Shape, ...]:
        """A scalar, and the scores' shape for the probabilities."""
        match_labels(bottoms[0], bottoms[1], self.axis)
        _same_batch(bottoms[:2])
        if len(bottoms) == 3 and bottoms[0].ranked:
            _match_matrix(bottoms[0][self.axis], bottoms[2])
        return (SCALAR, bottoms[0])[: self.count]

    def normaliser(self, bottoms: tuple[Shape, ...]) -> Dim:
        """As `loss_param` says; the rows are those before the axis of the classes."""
        scores, labels = bottoms[:2]
        return self.counting.normaliser(labels.count(), scores.count(0, canonical(self.axis, scores)))

    def torch(self, g: TorchRecorder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """`netdef.nn.infogain_loss`, on a third bottom or on what `netdef.nn.InfogainMatrix` read from the file."""
        x, labels = bottoms[:2]
        matrix = bottoms[2] if len(bottoms) == 3 else g.netdef.InfogainMatrix(self.source, x.shape[self.axis])()
        c = self.counting
        loss = g.netdef.infogain_loss(x, labels, matrix, self.axis, c.ignore_label, c.normalization)
        return _with_probabilities(g, loss, x, self.axis, self.count)


@layer("ContrastiveLoss")
@dataclass(frozen=True, slots=True)
class ContrastiveLoss(Loss):
    """``sum(y d^2 + (1 - y) max(margin - d, 0)^2) / (2 N)`` for pairs of features at distance d; y is the third bottom.

    With `legacy_version` the second term is ``max(margin - d^2, 0)``. The gradient divides by d + 1e-4.
    Source: Caffe's contrastive_loss_layer.cpp; Hadsell, Chopra and LeCun 2006, equation 4.
    """

    num_bottoms: ClassVar[Arity] = exactly(3)
    label_bottoms: ClassVar[frozenset[int]] = frozenset({2})
    margin: float
    legacy_version: bool

    @classmethod
    def decode(cls, block: Block) -> Self:
        """Read `contrastive_loss_param`."""
        m = block.message.contrastive_loss_param
        return cls(m.margin, m.legacy_version)

    def infer(self, bottoms: tuple[Shape, ...]) -> tuple[Shape, ...]:
        """A scalar."""
        _same_batch(bottoms)
        _same_count(bottoms[:2], 1)
        _one_a_row(bottoms, 2)
        return (SCALAR,)

    def torch(self, g: TorchRecorder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """`netdef.nn.contrastive_loss`."""
        return (g.netdef.contrastive_loss(*bottoms, self.margin, self.legacy_version),)


def match_labels(scores: Shape, labels: Shape, axis: int) -> None:
    """See that there is one label for each row of scores along `axis`.

    Raises:
        Mismatch: there is not.
    """
    if not scores.ranked:
        return
    at = canonical(axis, scores)
    wanted = Shape(scores.sizes[:at] + scores.sizes[at + 1 :])
    if not agree(wanted.count(), labels.count()):
        raise Mismatch(
            f"{labels.count()} labels ({labels}) for {wanted.count()} predictions ({scores}, the classes on axis {at})",
            bottom=1,
            other=0,
            code="ND0460",
            help=f"give one label for each prediction: {wanted}",
        )


def _same_batch(bottoms: tuple[Shape, ...]) -> None:
    for i, shape in enumerate(bottoms):
        if shape.ranked and not shape.rank:
            raise Mismatch("a loss needs a batch axis, found a scalar", bottom=i, code="ND0461")
    for i, shape in enumerate(bottoms[1:], 1):
        if shape.ranked and bottoms[0].ranked and not agree(bottoms[0][0], shape[0]):
            raise Mismatch(
                f"loss inputs differ in their first axis: {bottoms[0][0]} ({bottoms[0]}) and {shape[0]} ({shape})",
                bottom=i,
                other=0,
                code="ND0461",
                help="both must come from the same batch",
            )


def _same_count(bottoms: tuple[Shape, ...], start: int) -> None:
    a, b = bottoms
    if not agree(a.count(start), b.count(start)):
        what = "values a row" if start else "values"
        raise Mismatch(
            f"the loss compares {a.count(start)} {what} ({a}) with {b.count(start)} ({b})",
            bottom=1,
            other=0,
            code="ND0461",
            help="both must have the same number of values",
        )


def _one_a_row(bottoms: tuple[Shape, ...], labels: int) -> None:
    count = bottoms[labels].count(1)
    if not agree(count, 1):
        raise Mismatch(
            f"{count} labels a row ({bottoms[labels]}), expected one",
            bottom=labels,
            other=0,
            code="ND0460",
            help="give one label for each row of the batch",
        )


def _match_matrix(classes: Dim, matrix: Shape) -> None:
    if classes is not None and not agree(matrix.count(), classes * classes):
        raise Mismatch(
            f"the infogain matrix has {matrix.count()} values ({matrix}); {classes} classes need {classes} x {classes}",
            bottom=2,
            other=0,
            code="ND0463",
        )


def _with_probabilities(g: TorchRecorder, loss: Value, x: Value, axis: int, count: int) -> tuple[Value, ...]:
    return (loss,) if count == 1 else (loss, g.torch.detach(g.torch.softmax(x, dim=axis)))
