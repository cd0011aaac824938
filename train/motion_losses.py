"""Losses of the first order motion model (Siarohin et al. 2019, arXiv 2003.00196, section 3.3).

Pure functions that return unweighted terms. Pictures are [N, 3, H, W] in [0, 1].
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from engine.models.perceptual import SqueezeNet
from motion.fomm import Keypoints
from motion.fomm.blocks import Reduction
from motion.fomm.dense_motion import inverse
from train.deformation import Deformation

LAYERS = ("conv1", "fire3", "fire5", "fire7", "fire9")  # one per size, as VGG-19's relu1_1 .. 5_1


def relative_difference(features: Sequence[Tensor], targets: Sequence[Tensor]) -> Tensor:
    """Sum over layers of |f - t| / |t|, means of each picture, then of all; f, t [N, C, H, W].

    Published is mean |f - t| on VGG-19, whose activations the weights 10 are made for. Divided by
    their size, those of any network count alike: about 1 per layer for unrelated pictures.
    """
    total = features[0].new_zeros(())
    for own, target in zip(features, targets, strict=True):
        size = target.detach().abs().mean((1, 2, 3)).clamp_min(1e-6)  # [N]
        total = total + ((own - target).abs().mean((1, 2, 3)) / size).mean()
    return total


def pyramid_difference(
    net: SqueezeNet, reductions: Sequence[Reduction], prediction: Tensor, target: Tensor
) -> Tensor:
    """Perceptual loss of Johnson et al. (2016) at several sizes, summed (equation 6): a number."""
    total = prediction.new_zeros(())
    for reduce in reductions:
        with torch.no_grad():
            wanted = net.features(reduce(target) * 2 - 1, LAYERS)
        total = total + relative_difference(
            net.features(reduce(prediction) * 2 - 1, LAYERS), wanted
        )
    return total


def equivariance(
    kp: Keypoints, kp_deformed: Keypoints, deformation: Deformation
) -> dict[str, Tensor]:
    """Keypoints of a deformed picture must be the deformed keypoints (equations 8 and 9).

    Args:
        kp: of the pictures X [N].
        kp_deformed: of Y = deformation.warp(X).
        deformation: T, from Y to X.

    Returns:
        equivariance_value: mean |p_X - T(p_Y)|; equivariance_jacobian: mean |1 - J_X^-1 T' J_Y|.
    """
    there = deformation(kp_deformed.value)
    turned = deformation.jacobian(kp_deformed.value) @ kp_deformed.jacobian
    unchanged = torch.eye(2, dtype=turned.dtype, device=turned.device)
    return {
        "equivariance_value": (kp.value - there).abs().mean(),
        "equivariance_jacobian": (unchanged - inverse(kp.jacobian) @ turned).abs().mean(),
    }


def least_squares_d(real: Tensor, fake: Tensor) -> Tensor:
    """Discriminator's least-squares loss (Mao et al. 2017) on score maps [N, 1, h, w]."""
    return (1 - real).square().mean() + fake.square().mean()


def least_squares_g(fake: Tensor) -> Tensor:
    """Generator's least-squares loss on score maps [N, 1, h, w]."""
    return (1 - fake).square().mean()


def feature_matching(features: Sequence[Tensor], targets: Sequence[Tensor]) -> Tensor:
    """Sum over the discriminator's layers of mean |f - t| (Wang et al. 2018); t are fixed."""
    pairs = zip(features, targets, strict=True)
    return torch.stack([(own - target.detach()).abs().mean() for own, target in pairs]).sum()
