"""Foreign weights, read safely: public checkpoints -> our networks, under our names."""

from engine.checkpoints.checkpoint import Checkpoint
from engine.checkpoints.container import Contents, Record, check_finite, read_container
from engine.checkpoints.kinds import KINDS, read, recognise

__all__ = [
    "KINDS",
    "Checkpoint",
    "Contents",
    "Record",
    "check_finite",
    "read",
    "read_container",
    "recognise",
]
