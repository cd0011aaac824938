"""How far a picture is from another, for inversions: with what a base pack has, or with LPIPS.

A distance is any callable ([N, 3, R, R], [N, 3, R, R]) -> [N] on pictures in [-1, 1], the second of
which never changes during an inversion. One with a method `against(target)` computes what it needs
of the target once. `engine.models.perceptual.PerceptualDistance` is such a callable too.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.errors import CheckpointError
from engine.inversion.noise import frozen_view
from engine.models.discriminator import Discriminator
from engine.models.perceptual import feature_distance

Distance = Callable[[Tensor, Tensor], Tensor]
SMALLEST_SCALE = 16
# Networks of LPIPS, and torchvision's names of their files.
TRUNKS = {"vgg": "vgg16-397923af.pth", "alex": "alexnet-owt-7be5be79.pth"}
VGG_FILE = TRUNKS["vgg"]


def against(distance: Distance, target: Tensor) -> Callable[[Tensor], Tensor]:
    """Fix the second picture of a distance: picture [N, 3, R, R] -> [N]."""
    prepare = getattr(distance, "against", None)
    return prepare(target) if prepare else lambda picture: distance(picture, target)


class DiscriminatorDistance:
    """Distance in the eyes of a discriminator, plus that of the pixels over scales.

    The default: a base pack has nothing else, and its discriminator knows what matters in a face.
    Activations after each of its blocks, one unit vector per position as in LPIPS (Zhang et al.
    2018, equation 1). The last block, which looks at all pictures of a batch together, is left out.

    Args:
        D: discriminator of the pictures' resolution; it is not changed.
        pixel_weight: of the pixels' part.
    """

    def __init__(self, D: Discriminator, pixel_weight: float = 1.0) -> None:
        with torch.inference_mode(False):
            self.D, self.pixel_weight = frozen_view(D), pixel_weight

    def __call__(self, picture: Tensor, target: Tensor) -> Tensor:
        """Compare [N, 3, R, R] with the same, in [-1, 1]: [N]."""
        return self.against(target)(picture)

    def against(self, target: Tensor) -> Callable[[Tensor], Tensor]:
        """Compute the features of the target once."""
        with torch.no_grad():
            wanted, pixels = self.features(target), pyramid(target)

        def compare(picture: Tensor) -> Tensor:
            scales = zip(pyramid(picture), pixels, strict=True)
            differences = [(a - b).abs().mean(dim=(1, 2, 3)) for a, b in scales]
            pixel_distance = torch.stack(differences).mean(dim=0)
            return feature_distance(self.features(picture), wanted) + (
                self.pixel_weight * pixel_distance
            )

        return compare

    def features(self, picture: Tensor) -> list[Tensor]:
        """Activations of [N, 3, R, R], [N, C, r, r] with r from R / 2 to 4, of unit length."""
        x, found = picture.contiguous(memory_format=torch.channels_last), []
        for name, block in self.D.named_children():
            if name != "b4":
                x = block(x)
                found.append(F.normalize(x, dim=1, eps=1e-5))
        return found


def pyramid(picture: Tensor) -> list[Tensor]:
    """The picture [N, C, H, W] and its halvings, down to 16 px."""
    scales = [picture]
    while min(scales[-1].shape[2:]) >= 2 * SMALLEST_SCALE:
        scales.append(F.avg_pool2d(scales[-1], 2))
    return scales


class LpipsDistance(nn.Module):
    """LPIPS on VGG-16 or AlexNet, as in the papers; pictures above 256 px are halved to it.

    Made by `lpips_distance`. (Karras et al. 2020, Appendix D, and Huang et al. 2021's script.)
    """

    def __init__(self, lpips: nn.Module) -> None:
        super().__init__()
        self.lpips = lpips.eval().requires_grad_(False)

    def forward(self, picture: Tensor, target: Tensor) -> Tensor:
        """Compare [N, 3, R, R] with the same, in [-1, 1]: [N]."""
        return self.lpips(_at_most_256(picture), _at_most_256(target)).reshape(-1)


def lpips_distance(
    folders: Sequence[Path] | None = None, network: Literal["vgg", "alex"] = "vgg"
) -> LpipsDistance:
    """LPIPS, if the weights of its network are on this machine; nothing is ever downloaded.

    Args:
        folders: where to look for torchvision's file; None: where torch keeps its downloads.
        network: VGG-16, the choice for losses, or AlexNet, that for measuring.

    Raises:
        CheckpointError: the weights are not there or not readable.
    """
    folders = [Path(torch.hub.get_dir()) / "checkpoints"] if folders is None else folders
    file = TRUNKS[network]
    found = next((f / file for f in folders if (f / file).is_file()), None)
    if found is None:
        raise CheckpointError(
            f"LPIPS needs {file}, which is not in {', '.join(map(str, folders))}; copy it there "
            "(from torchvision's models; VGG-16 has 528 MB, AlexNet 233), or do without"
        )
    try:
        state = torch.load(found, map_location="cpu", weights_only=True)
        package = importlib.import_module("lpips")
        metric = package.LPIPS(net=network, pnet_rand=True, verbose=False)
        features = {k.removeprefix("features."): v for k, v in state.items() if "features" in k}
        for name, slot in metric.net.state_dict().items():
            slot.copy_(features[name.split(".", 1)[1]])  # "slice1.0.weight": number of the layer
    except (OSError, RuntimeError, KeyError, AttributeError, ImportError, ValueError) as error:
        raise CheckpointError(
            f"{found} cannot be used for LPIPS: {error}; copy torchvision's file again, or do "
            "without"
        ) from error
    return LpipsDistance(metric)


def _at_most_256(picture: Tensor) -> Tensor:
    factor = max(1, picture.shape[-1] // 256)
    return F.avg_pool2d(picture, factor) if factor > 1 else picture
