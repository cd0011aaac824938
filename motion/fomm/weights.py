"""Networks of the first order motion model from their weights: all sizes are read off these."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from engine.errors import CheckpointError
from engine.models.loading import load_exactly
from motion.fomm.blocks import gaussian_kernel
from motion.fomm.dense_motion import DenseMotion
from motion.fomm.generator import Generator
from motion.fomm.keypoints import KeypointDetector

_STEPS = {gaussian_kernel(step).shape[0]: step for step in (1, 2, 4, 8)}
_DAMAGE = (KeyError, IndexError, RuntimeError, ValueError)


def keypoints_from_state(state: Mapping[str, Tensor]) -> KeypointDetector:
    """Build the keypoint detector that `state` belongs to and load it, for inference.

    Raises:
        CheckpointError: the tensors do not describe one.
    """
    try:
        network = KeypointDetector(
            len(state["heat.weight"]), _hourglass_widths(state, "hourglass"), _step(state, "")
        )
    except _DAMAGE as error:
        raise _no_network("keypoint detector", state, error) from error
    load_exactly(network, state, "a keypoint detector of motion")
    return network.eval().requires_grad_(False)


def generator_from_state(state: Mapping[str, Tensor], *, align_corners: bool = True) -> Generator:
    """Build the motion generator that `state` belongs to and load it, for inference.

    Raises:
        CheckpointError: the tensors do not describe one.
    """
    part = "dense_motion."
    try:
        motion = DenseMotion(
            len(state[part + "mask.weight"]) - 1,
            _hourglass_widths(state, part + "hourglass"),
            _step(state, part),
            align_corners=align_corners,
        )
        widths = [len(state["first.conv.weight"]), *_outputs(state, "down")]
        count = sum(n.startswith("residuals.") and n.endswith("conv1.weight") for n in state)
        network = Generator(motion, widths, count)
    except _DAMAGE as error:
        raise _no_network("generator", state, error) from error
    load_exactly(network, state, "a motion generator")
    return network.eval().requires_grad_(False)


def _no_network(what: str, state: Mapping[str, Tensor], error: Exception) -> CheckpointError:
    return CheckpointError(
        f"no {what} of the first order motion model in these {len(state)} tensors "
        f"({type(error).__name__}: {error}); name a vox-cpk.pth.tar, or a motion pack"
    )


def _outputs(state: Mapping[str, Tensor], blocks: str) -> list[int]:
    """Output channels of blocks.0, blocks.1, ..."""
    widths: list[int] = []
    while (name := f"{blocks}.{len(widths)}.conv.weight") in state:
        widths.append(len(state[name]))
    return widths


def _hourglass_widths(state: Mapping[str, Tensor], name: str) -> list[int]:
    return [_outputs(state, f"{name}.up")[-1], *_outputs(state, f"{name}.down")]


def _step(state: Mapping[str, Tensor], prefix: str) -> int:
    return _STEPS[state[f"{prefix}reduction.weight"].shape[-1]]
