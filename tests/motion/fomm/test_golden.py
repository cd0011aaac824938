"""The public network with drawn weights, through the reader, against what it computes itself."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from engine.checkpoints import Contents, recognise
from motion.fomm import Keypoints, generator_from_state, keypoints_from_state
from motion.fomm.blocks import gaussian_kernel
from motion.transfer import relative

TOLERANCE = 1e-3


def parts(case) -> dict[str, dict[str, Tensor]]:
    """What the reader makes of the case's weights in the container of *-cpk.pth.tar."""
    weights = {name: torch.from_numpy(array) for name, array in case.weights.items()}
    weights["kp_detector.jacobian.bias"] = torch.eye(2).flatten().repeat(10)
    for down in ("kp_detector.down", "generator.dense_motion_network.down"):
        weights[f"{down}.weight"] = gaussian_kernel(4).repeat(3, 1, 1, 1)
    file = {"generator": {}, "kp_detector": {}}
    for name, value in weights.items():
        network, _, rest = name.partition(".")
        file[network][rest] = value
    return recognise(Contents("torch", file)).parts


@pytest.fixture(scope="module")
def case(golden):
    return golden("fomm_vox256")


@pytest.fixture(scope="module")
def tables(case) -> dict[str, dict[str, Tensor]]:
    return parts(case)


@pytest.fixture(scope="module")
def pictures(case) -> dict[str, Tensor]:
    inputs = {n.removesuffix("32").rstrip("_"): torch.from_numpy(a) for n, a in case.inputs.items()}
    return {name: F.interpolate(x, 256, mode="bilinear") for name, x in inputs.items()}


@pytest.mark.slow
@torch.no_grad()
def test_keypoints_and_relative_transfer(case, tables, pictures):
    detector = keypoints_from_state(tables["keypoints"])
    kp = {name: detector(picture) for name, picture in pictures.items()}
    kp["relative"] = relative(kp["source"], kp["driving0"], kp["driving"])
    for name, found in kp.items():
        case.check(f"kp_{name}_value", found.value, TOLERANCE)
        case.check(f"kp_{name}_jacobian", found.jacobian, TOLERANCE)


@pytest.mark.slow
@torch.no_grad()
@pytest.mark.parametrize("suffix, align_corners", [("", True), ("_legacy", False)])
def test_dense_motion_and_generator(case, tables, pictures, suffix: str, align_corners: bool):
    """Given the golden keypoints: drawn weights make a flow so wild that rounding in the keypoints
    (1e-5) alone moves the deformed noise by 5e-3."""
    kp_source, kp_driving = stored(case, "source"), stored(case, "relative")
    generator = generator_from_state(tables["motion_generator"], align_corners=align_corners)
    prediction = generator(pictures["source"], kp_source, kp_driving)
    case.check(f"occlusion{suffix}", prediction.flow.occlusion, TOLERANCE)
    deformed = generator.deform(pictures["source"], prediction.flow)
    case.check(f"deformed{suffix}", deformed, TOLERANCE)
    case.check(f"prediction{suffix}", prediction.image, TOLERANCE)


def stored(case, name: str) -> Keypoints:
    parts = (case.outputs[f"kp_{name}_{part}"] for part in ("value", "jacobian"))
    return Keypoints(*map(torch.from_numpy, parts))
