"""Weights of the first order motion model into a motion pack."""

from __future__ import annotations

from pathlib import Path

from demo.doctor.words import explain_licence
from engine.checkpoints import Checkpoint
from engine.errors import OptionError
from motion.animator import PUBLIC_SIZE
from motion.fomm import generator_from_state, keypoints_from_state
from motion.pack import MotionCard, save_motion_pack


def import_motion(checkpoint: Checkpoint, name: str, licence: str, folder: Path) -> int:
    """Write a motion pack `name` into `folder`, as float32; return the exit code.

    Raises:
        OptionError: there is a pack of that name already.
        CheckpointError: the file is incomplete.
        PackError: the pack cannot be written.
    """
    target = folder / name
    if target.exists():
        raise OptionError(f"{target} exists already; choose another --name, or delete it")
    card = MotionCard(
        name,
        PUBLIC_SIZE,
        title="First order motion model",
        licence=licence,
        training={f"imported {Path(checkpoint.path).name}": {"kind": checkpoint.kind}},
    )
    detector = keypoints_from_state(checkpoint.parts["keypoints"])
    generator = generator_from_state(checkpoint.parts["motion_generator"])
    save_motion_pack(target, card, detector, generator, half=False)
    print(f"\n{name}: motion pack in {target}")
    print(f"Licence: {explain_licence(licence)}")
    print(f"Next: python -m demo.animate me.jpg driving.mp4 out.mp4 --motion {name}")
    return 0
