"""The first order motion model (Siarohin et al. 2019): keypoint detector and generator in one file.

Its discriminator is of no use here. The networks are `motion.fomm`'s, which builds them from the
tables this reader gives.
"""

import re

from engine.checkpoints.renaming import renamed
from engine.checkpoints.tree import Found, Tree

_HOURGLASS = re.compile(r"(?:encoder\.(down)|decoder\.(up))_blocks\.(\d\.(?:conv|norm)\.\w+)")
_KEYPOINTS = {"kp": "heat", "jacobian": "jacobian", "down": "reduction"}
_MOTION = {"mask": "mask", "occlusion": "occlusion", "down": "reduction"}


def is_fomm(tree: Tree) -> bool:
    """Whether a file holds a generator and the keypoint detector it was trained with."""
    generator = tree.states.get("generator", {})
    return "kp.weight" in tree.states.get("kp_detector", {}) and "final.weight" in generator


def read(tree: Tree) -> Found:
    """Both networks; what else training kept in the file is left out."""
    keypoints = renamed(
        tree.states["kp_detector"],
        lambda name: _hourglass(name, "predictor.", "hourglass.") or _leaf(name, _KEYPOINTS),
        "a keypoint detector of motion",
    )
    generator = renamed(tree.states["generator"], _generator_name, "a motion generator")
    unused = sorted(set(tree.states) - {"kp_detector", "generator", ""})
    notes = (f"left out, needed for training only: {', '.join(unused)}",) if unused else ()
    return Found({"keypoints": keypoints, "motion_generator": generator}, notes=notes)


def _generator_name(name: str) -> str | None:
    if name.startswith(motion := "dense_motion_network."):
        rest = name.removeprefix(motion)
        ours = _hourglass(rest, "hourglass.", "hourglass.") or _leaf(rest, _MOTION)
        return ours and f"dense_motion.{ours}"
    if m := re.fullmatch(r"(down|up)_blocks\.(\d\.(?:conv|norm)\.\w+)", name):
        return f"{m[1]}.{m[2]}"
    if m := re.fullmatch(r"bottleneck\.r(\d{1,2}\.(?:conv|norm)[12]\.\w+)", name):
        return f"residuals.{m[1]}"
    return name if re.fullmatch(r"first\.(conv|norm)\.\w+|final\.(weight|bias)", name) else None


def _hourglass(name: str, theirs: str, ours: str) -> str | None:
    m = _HOURGLASS.fullmatch(name.removeprefix(theirs)) if name.startswith(theirs) else None
    return f"{ours}{m[1] or m[2]}.{m[3]}" if m else None


def _leaf(name: str, table: dict[str, str]) -> str | None:
    module, _, leaf = name.partition(".")
    return f"{table[module]}.{leaf}" if module in table and leaf in ("weight", "bias") else None
