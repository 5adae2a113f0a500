"""What is known of an exported model: where it is, what it takes, and how far its blobs are from torch's."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from netdef.diagnostics import Diagnostic


@dataclass(frozen=True, slots=True)
class BlobError:
    """How far two back ends are apart on one blob, the worst of all runs.

    Attributes:
        name: the blob's id.
        layer: the id of the layer that writes it.
        shape: its sizes at the last batch size tried.
        max_abs: the largest absolute difference, in the blob's own unit.
        max_rel: max_abs divided by the blob's largest magnitude, so that a value near 0 beside large ones does not
            count for more than it weighs; infinite where one side alone is NaN or infinite.
        rounding: how far torch itself is from its own result in double precision, in the same measure; looked at only
            where max_rel is large.
    """

    name: str
    layer: str
    shape: tuple[int, ...]
    max_abs: float
    max_rel: float
    rounding: float = 0.0


@dataclass(frozen=True, slots=True)
class Proof:
    """How a model was compared with torch, and what came of it.

    Attributes:
        blobs: the error of every blob that both name, in the order of the graph.
        batch_sizes: the batch sizes it was run with.
        oracle: what ran the model.
        expected: what it was compared with.
        image_sizes: heights and widths it was run with, where they are free.
        second: the error of the same blobs in onnx's reference evaluator, at the first batch size.
        second_left_out: why the evaluator was not asked; empty where it was.
    """

    blobs: tuple[BlobError, ...]
    batch_sizes: tuple[int, ...]
    oracle: str
    expected: str = "torch"
    image_sizes: tuple[tuple[int, int], ...] = ()
    second: tuple[BlobError, ...] = ()
    second_left_out: str = ""

    @property
    def largest(self) -> BlobError | None:
        """The blob with the largest relative error; None if nothing was compared."""
        return _largest(self.blobs)

    @property
    def second_largest(self) -> BlobError | None:
        """The same of the evaluator."""
        return _largest(self.second)

    def as_json(self) -> dict[str, Any]:
        """The proof as plain values, the largest relative error in front."""
        return {"largest_relative_error": self.largest.max_rel if self.largest else None, **asdict(self)}


def _largest(blobs: tuple[BlobError, ...]) -> BlobError | None:
    return max(blobs, key=lambda blob: blob.max_rel, default=None)


NO_PROOF = Proof((), (), "")


@dataclass(frozen=True, slots=True)
class ExportReport:
    """An exported model and its proof.

    Attributes:
        path: the model's file.
        opset: version of ONNX's operator set.
        inputs, outputs: names and sizes; "batch" stands for the free batch, "?" for another free size.
        proof: how far it is from torch; `NO_PROOF` if that was not asked for.
        removed: the layers that deploying left out.
        folded: the layers that others do the work of.
        size_bytes: of all files together.
        files: the model, and its data file if it has one.
        warnings: about the weights.
        pixel_error: how far images that the model prepares are from those of `netdef predict`, in grey levels.
    """

    path: str
    opset: int
    inputs: dict[str, tuple[int | str, ...]]
    outputs: dict[str, tuple[int | str, ...]]
    proof: Proof
    removed: tuple[str, ...]
    size_bytes: int
    files: tuple[str, ...]
    warnings: tuple[Diagnostic, ...] = ()
    folded: tuple[str, ...] = ()
    pixel_error: float | None = None

    def as_json(self) -> dict[str, Any]:
        """The report as plain values."""
        names = ("path", "files", "size_bytes", "opset", "inputs", "outputs", "removed", "folded", "pixel_error")
        plain = {name: getattr(self, name) for name in names}
        return {**plain, "verified": bool(self.proof.blobs), **self.proof.as_json()}
