"""Old nets and solvers rewritten in today's schema, as trees: comments stay, and spans still point at the old text."""

from netdef.schema.upgrade.batch_norm import upgrade_batch_norms
from netdef.schema.upgrade.inputs import upgrade_inputs
from netdef.schema.upgrade.net import needs_upgrade, upgrade_net
from netdef.schema.upgrade.outcome import Upgraded
from netdef.schema.upgrade.solver import upgrade_solver

__all__ = ["Upgraded", "needs_upgrade", "upgrade_batch_norms", "upgrade_inputs", "upgrade_net", "upgrade_solver"]
