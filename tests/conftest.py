"""Tests that need a GPU are left out where there is none: hundreds of skips would drown the others."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect what is marked `gpu`, unless torch finds one."""
    needing = [item for item in items if item.get_closest_marker("gpu")]
    if not needing or _has_gpu():
        return
    config.hook.pytest_deselected(items=needing)
    items[:] = [item for item in items if not item.get_closest_marker("gpu")]


def _has_gpu() -> bool:
    import torch  # not for the sake of tests that do without

    return torch.cuda.is_available()
