"""Foreign checkpoints -> style packs."""

from engine.importing.packs import NewPack, Wishes, save
from engine.importing.plan import plain_name, plan

__all__ = ["NewPack", "Wishes", "plain_name", "plan", "save"]
