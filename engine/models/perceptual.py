"""A perceptual distance between pictures, on the features of SqueezeNet v1.0.

The distance is LPIPS without learned channel weights (Zhang et al. 2018, arXiv 1801.03924, equation
1 with w = 1; the published `squeeze` heads belong to SqueezeNet v1.1 and do not fit). Leaving out
the first layers makes it the modified LPIPS of AgileGAN (Song et al. 2021, equation 10), which
keeps structure and ignores local appearance: there the first 9 of the 30 layers of VGG-16 (all
before conv3_1), here the first taps of SqueezeNet (Iandola et al. 2016, arXiv 1602.07360).
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Sequence
from os import PathLike

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.errors import CheckpointError, ImageError, OptionError

BGR_MEANS = (104.0, 117.0, 123.0)
IMAGENET_MEAN, IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # torchvision's
TORCHVISION_FIRES = (3, 4, 5, 7, 8, 9, 10, 12)  # their places among its `features`
ACCEPTED = (
    "squeezenet_v1.0.npz, or torchvision's squeezenet1_0-b66bff10.pth (python -m demo.doctor fetch "
    "squeezenet)"
)
SMALLEST_SIDE = 64
DEFAULT_LAYERS = ("conv1", "fire3", "fire5", "fire6", "fire7", "fire8", "fire9")
_EPSILON = 1e-10
_POOLED_AFTER = ("conv1", "fire4", "fire8")
_FIRES = {  # name: (in, squeezed, expanded by each of the two branches)
    "fire2": (96, 16, 64),
    "fire3": (128, 16, 64),
    "fire4": (128, 32, 128),
    "fire5": (256, 32, 128),
    "fire6": (256, 48, 192),
    "fire7": (384, 48, 192),
    "fire8": (384, 64, 256),
    "fire9": (512, 64, 256),
}


class Fire(nn.Module):
    """Squeeze the channels, expand by 1x1 and 3x3 side by side (Iandola et al. 2016, figure 1)."""

    def __init__(self, in_channels: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze1x1 = nn.Conv2d(in_channels, squeezed, 1)
        self.expand1x1 = nn.Conv2d(squeezed, expanded, 1)
        self.expand3x3 = nn.Conv2d(squeezed, expanded, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map `x` [N, in, H, W] to [N, 2 expanded, H, W]."""
        x = F.relu(self.squeeze1x1(x))
        return F.relu(torch.cat([self.expand1x1(x), self.expand3x3(x)], dim=1))


class SqueezeNet(nn.Module):
    """Frozen feature extractor, RGB [-1, 1] in; the preprocessing is part of conv1.

    Public networks expect BGR 0..255 minus `BGR_MEANS`, or RGB with ImageNet's mean and deviation.
    As conv1 has no padding, channel order, scale and means fold exactly into its weights
    (`from_npz`), and nothing can be fed in the wrong range by accident.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 96, 7, stride=2)
        for name, sizes in _FIRES.items():
            self.add_module(name, Fire(*sizes))
        self.requires_grad_(False)

    @classmethod
    def from_npz(cls, path: str | PathLike[str]) -> SqueezeNet:
        """Load squeezenet_v1.0.npz (`fire2/squeeze1x1.weight` ...), or torchvision's file.

        The latter is squeezenet1_0-b66bff10.pth, the same network trained by others; numbers of one
        file do not compare with those of the other. The classifier is left out.

        Raises:
            CheckpointError: the file is missing, unreadable, or holds other tensors.
        """
        net = cls()
        read = _read_torchvision if str(path).endswith(".pth") else _read_caffe
        try:
            state, scale, offset = read(path)
        except (OSError, ValueError, RuntimeError, pickle.UnpicklingError) as error:
            raise CheckpointError(
                f"cannot read the perceptual network {str(path)!r}: {error}; expected {ACCEPTED}"
            ) from error
        own = net.state_dict()
        wrong = [k for k in own if k not in state or state[k].shape != own[k].shape]
        if wrong:
            raise CheckpointError(
                f"{path} is not SqueezeNet v1.0: {len(wrong)} tensors are missing or of another "
                f"shape, the first is {wrong[0]}; use {ACCEPTED}"
            )
        net.load_state_dict({k: state[k] for k in own})
        _fold(net.conv1, scale, offset)
        return net

    def features(self, image: Tensor, layers: Sequence[str] = DEFAULT_LAYERS) -> list[Tensor]:
        """Return the activations after ReLU of `layers`, [N, C_l, H_l, W_l] each.

        Args:
            image: [N, 3, H, W] RGB in [-1, 1].
            layers: names; nothing is computed beyond the last of them.

        Raises:
            ImageError: not three channels, or a side under 64 px.
            OptionError: a layer that does not exist.
        """
        _check_image(image)
        _check_layers(layers)
        taps: OrderedDict[str, Tensor] = OrderedDict()
        x = image
        for name in ("conv1", *_FIRES):
            x = F.relu(self.conv1(x)) if name == "conv1" else getattr(self, name)(x)
            if name in layers:
                taps[name] = x
            if len(taps) == len(layers):
                break
            if name in _POOLED_AFTER:
                x = F.max_pool2d(x, 3, 2, ceil_mode=True)
        return [taps[name] for name in layers]


class PerceptualDistance(nn.Module):
    """LPIPS-like: unit-normalised activations, squared difference, mean over space and layers.

    Args:
        net: the frozen feature extractor.
        layers: names of its activations, shallow to deep.
        drop_first: leave out that many of the first `layers`. AgileGAN's modified LPIPS drops
            everything before the second pooling; `drop_first=2` does so with the default layers.
    """

    def __init__(
        self,
        net: SqueezeNet,
        layers: Sequence[str] = DEFAULT_LAYERS,
        *,
        drop_first: int = 0,
    ) -> None:
        super().__init__()
        _check_layers(layers)
        if not 0 <= drop_first < len(layers):
            raise OptionError(
                f"drop_first is {drop_first}, accepted is 0 .. {len(layers) - 1} with "
                f"{len(layers)} layers: at least one layer must remain"
            )
        self.net = net
        self.layers = tuple(layers[drop_first:])

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the distances [N] of `a` and `b` [N, 3, H, W] in [-1, 1]: 0 if equal, 2 at most.

        Raises:
            ImageError: different shapes, not three channels, or a side under 64 px.
        """
        if a.shape != b.shape:
            raise ImageError(
                f"cannot compare pictures of shape {list(a.shape)} and {list(b.shape)}; both "
                "need the same: resize one to the other"
            )
        return feature_distance(self.features(a), self.features(b))

    def features(self, image: Tensor) -> list[Tensor]:
        """Return the normalised activations of `image`, to be compared more than once."""
        return [unit(x) for x in self.net.features(image, self.layers)]


def feature_distance(a: Sequence[Tensor], b: Sequence[Tensor]) -> Tensor:
    """Return the distances [N] of two `PerceptualDistance.features` (Zhang et al., equation 1)."""
    terms = [(x - y).square().sum(dim=1).mean(dim=(1, 2)) for x, y in zip(a, b, strict=True)]
    return torch.stack(terms).mean(dim=0)


def unit(x: Tensor) -> Tensor:
    """Normalise [N, C, H, W] over channels; with epsilon outside the root dead cells gave NaN."""
    x = x.float()
    return x * torch.rsqrt(x.square().sum(dim=1, keepdim=True) + _EPSILON)


def _read_caffe(path: str | PathLike[str]) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    """The tensors for RGB, and what they expect of x in [-1, 1]: scale x + offset [3]."""
    with np.load(path, allow_pickle=False) as file:
        state = {k.replace("/", "."): torch.from_numpy(file[k]) for k in file.files}
    if "conv1.weight" in state:
        state["conv1.weight"] = state["conv1.weight"].flip(1)  # from BGR
    return state, torch.full((3,), 127.5), 127.5 - torch.tensor(BGR_MEANS).flip(0)


def _read_torchvision(path: str | PathLike[str]) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    """The same of torchvision's file, whose layers are numbered."""
    found, state = torch.load(path, map_location="cpu", weights_only=True), {}
    places = {"conv1": 0} | dict(zip(_FIRES, TORCHVISION_FIRES, strict=True))
    for name, place in places.items():
        prefix = f"features.{place}."
        part = {k.removeprefix(prefix): v for k, v in found.items() if k.startswith(prefix)}
        state |= {f"{name}.{k.replace('squeeze.', 'squeeze1x1.')}": v for k, v in part.items()}
    mean, deviation = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_DEVIATION)
    return state, 0.5 / deviation, (0.5 - mean) / deviation


@torch.no_grad()
def _fold(conv: nn.Conv2d, scale: Tensor, offset: Tensor) -> None:
    """Make a convolution on scale x + offset, [3] each, one on x; exact, because it is unpadded."""
    conv.bias += (conv.weight * offset.view(1, 3, 1, 1)).sum(dim=(1, 2, 3))
    conv.weight *= scale.view(1, 3, 1, 1)


def _check_image(image: Tensor) -> None:
    if image.ndim != 4 or image.shape[1] != 3 or min(image.shape[2:]) < SMALLEST_SIDE:
        raise ImageError(
            f"the perceptual network got a picture of shape {list(image.shape)}; expected "
            f"[N, 3, H, W] with sides of at least {SMALLEST_SIDE} px: enlarge smaller ones"
        )


def _check_layers(layers: Sequence[str]) -> None:
    known = ("conv1", *_FIRES)
    unknown = [name for name in layers if name not in known]
    if unknown or not layers or len(set(layers)) != len(layers):
        raise OptionError(
            f"perceptual layers {tuple(layers)}; accepted are different ones of {', '.join(known)}"
        )
