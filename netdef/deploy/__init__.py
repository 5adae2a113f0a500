"""Floor 8: the way out: export, its proof, prediction."""

from netdef.deploy.export import export
from netdef.deploy.replay import replay
from netdef.deploy.report import BlobError, ExportReport, Proof
from netdef.deploy.verify import prove

__all__ = ["BlobError", "ExportReport", "Proof", "export", "prove", "replay"]
