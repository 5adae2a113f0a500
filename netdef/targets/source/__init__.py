"""The source target: one PyTorch file that needs torch alone."""

from netdef.targets.source.write import write_source

__all__ = ["write_source"]
