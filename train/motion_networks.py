"""The networks train.motion trains, and their optimizers."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from motion.fomm import DenseMotion, Generator, KeypointDetector, Keypoints
from motion.fomm.blocks import position_grid
from motion.fomm.dense_motion import VARIANCE
from train.loop import Stateful
from train.motion_config import MotionConfig

DISCRIMINATOR_WIDTHS = (64, 128, 256, 512)
BETAS = (0.5, 0.999)


class Discriminator(nn.Module):
    """Tells real from driven pictures patch by patch, knowing where the keypoints are.

    As published with vox-adv-256: 4 x 4 convolutions, instance norm from the second on, leaky ReLU,
    means of 2 x 2 but behind the last; least squares on the scores.
    """

    def __init__(self, num_keypoints: int, widths: tuple[int, ...] = DISCRIMINATOR_WIDTHS) -> None:
        super().__init__()
        inputs = (3 + num_keypoints, *widths)
        self.convs = nn.ModuleList(
            nn.Conv2d(i, o, 4) for i, o in zip(inputs, inputs[1:], strict=False)
        )
        self.norms = nn.ModuleList(nn.InstanceNorm2d(o, affine=True) for o in widths[1:])
        self.score = nn.Conv2d(widths[-1], 1, 1)

    def forward(self, picture: Tensor, kp: Keypoints) -> tuple[Tensor, list[Tensor]]:
        """Return scores [N, 1, h, w] of [N, 3, H, W] in [0, 1], and the features of all layers."""
        x = torch.cat([picture, _heat(kp, picture)], dim=1)
        features = []
        for i, conv in enumerate(self.convs):
            x = conv(x)
            x = F.leaky_relu(self.norms[i - 1](x) if i else x, 0.2)
            x = F.avg_pool2d(x, 2) if i < len(self.convs) - 1 else x
            features.append(x)
        return self.score(x), features


class MotionNetworks:
    """Keypoint detector, generator, their optimizer; discriminator and its own, or None."""

    def __init__(self, config: MotionConfig, device: torch.device) -> None:
        self.config = config
        torch.manual_seed(config.seed)
        detector, motion, generator = (
            config.numbers(f"{name}_widths") for name in ("detector", "motion", "generator")
        )
        count = config.num_keypoints
        self.detector = KeypointDetector(count, detector, config.step).to(device)
        dense_motion = DenseMotion(count, motion, config.step)
        self.generator = Generator(dense_motion, generator, config.num_residuals).to(device)
        trained = [*self.detector.parameters(), *self.generator.parameters()]
        self.opt_G = torch.optim.Adam(trained, config.lr, BETAS, fused=True)
        self.D: Discriminator | None = None
        self.opt_D: torch.optim.Adam | None = None
        if config.gan_weight > 0:
            self.D = Discriminator(count).to(device)
            self.opt_D = torch.optim.Adam(self.D.parameters(), config.lr, BETAS, fused=True)

    @property
    def optimizers(self) -> list[torch.optim.Adam]:
        """One or two."""
        return [optimizer for optimizer in (self.opt_G, self.opt_D) if optimizer]

    def state(self) -> Mapping[str, Stateful]:
        """Everything that resuming needs, by name."""
        parts = {"detector": self.detector, "generator": self.generator, "opt_G": self.opt_G}
        adversary = {"D": self.D, "opt_D": self.opt_D} if self.D else {}
        return parts | adversary

    def train(self, mode: bool = True) -> None:
        """Let batch norm use the statistics of batches (True), or those it has gathered."""
        self.detector.train(mode)
        self.generator.train(mode)


def _heat(kp: Keypoints, like: Tensor) -> Tensor:
    """Gaussians at the keypoints [N, K, H, W]; no gradient comes back through them."""
    grid = position_grid(*like.shape[2:], like)
    at = kp.value.detach().to(like.dtype)[:, :, None, None]
    return torch.exp(-0.5 * (grid - at).square().sum(-1) / VARIANCE)
