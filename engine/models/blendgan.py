"""BlendGAN's style encoder: what a picture looks like, without what it shows, as one code.

Implements section 3.1 of BlendGAN (Liu et al. 2021, arXiv 2110.11728): Gram matrices of VGG-19
features (Gatys et al. 2016; Simonyan & Zisserman 2015, configuration E) through a multilayer
perceptron. Its answer is a code z_s, which a second `MappingNetwork` turns into w_s; the weighted
blending of section 3.2 is `engine.latent.blend`.

The features keep torchvision's numbering, so that public weights of VGG-19 load as they are. Widths
and depths are free: the public perceptron alone has 313 million weights, a narrow one does for a
small generator.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.errors import CheckpointError, ImageError
from engine.models.backbone_encoder import EqualizedLinear
from engine.models.loading import load_exactly
from engine.ops.bias_act import bias_act

WIDTHS_19, DEPTHS_19 = (64, 128, 256, 512, 512), (2, 2, 4, 4, 4)
HIDDEN = (512, 512, 512)
INPUT_SIZE = 256


class StyleEncoder(nn.Module):
    """Picture -> z_style.

    Args:
        widths, depths: channels and convolutions of the stages of the feature extractor; all but
            the last end with a pooling. Each is read after its last activation.
        hidden: widths of the perceptron's hidden layers.
        style_dim: length of the code.
        input_size: side that pictures are pooled to.
    """

    def __init__(
        self,
        widths: Sequence[int] = WIDTHS_19,
        depths: Sequence[int] = DEPTHS_19,
        *,
        hidden: Sequence[int] = HIDDEN,
        style_dim: int = 512,
        input_size: int = INPUT_SIZE,
    ) -> None:
        super().__init__()
        self.widths, self.depths = tuple(widths), tuple(depths)
        self.style_dim, self.input_size = style_dim, input_size
        layers: list[nn.Module] = []
        channels, taps = 3, []
        for width, depth in zip(widths, depths, strict=True):
            if layers:
                layers.append(nn.MaxPool2d(2))
            for _ in range(depth):
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
                channels = width
            taps.append(len(layers) - 1)
        self.features = nn.Sequential(*layers)
        self.taps = tuple(taps)
        sizes = [sum(width**2 for width in widths), *hidden, style_dim]
        self.mlp = nn.ModuleList(
            EqualizedLinear(n_in, n_out) for n_in, n_out in zip(sizes, sizes[1:], strict=False)
        )

    def forward(self, image: Tensor) -> Tensor:
        """Encode the style of `image` [N, 3, H, W] in [-1, 1], of any size, as [N, style_dim].

        Raises:
            ImageError: not three channels.
        """
        x = self.grams(image)
        for layer in self.mlp[:-1]:
            x = bias_act(layer(x))
        return self.mlp[-1](x)

    def grams(self, image: Tensor) -> Tensor:
        """Return the Gram matrices of all taps, one after the other, [N, sum of widths^2]."""
        if image.ndim != 4 or image.shape[1] != 3:
            raise ImageError(
                f"the style encoder got a picture of shape {list(image.shape)}; expected "
                "[N, 3, H, W]: convert it to RGB first"
            )
        x = F.adaptive_avg_pool2d(image, self.input_size)
        found = []
        for index, layer in enumerate(self.features):
            x = layer(x)
            if index in self.taps:
                found.append(gram(x).flatten(1))
        return torch.cat(found, dim=1)


def gram(features: Tensor) -> Tensor:
    """Return F F^T / (C H W) of `features` [N, C, H, W], [N, C, C] (Gatys et al. 2016, eq. 3)."""
    rows = features.flatten(2)  # [N, C, H W]
    return rows @ rows.mT / rows[0].numel()


def style_encoder_from_state(
    state: Mapping[str, Tensor], input_size: int = INPUT_SIZE
) -> StyleEncoder:
    """Build the style encoder whose sizes are read off `state`, and load it, for inference.

    Args:
        state: `features.0.weight` ... (torchvision's numbers) and `mlp.0.weight` ...
        input_size: side that its pictures are pooled to, 256 in the public network.

    Raises:
        CheckpointError: tensors are missing, unexpected, or of the wrong shape.
    """
    widths, depths = _stages(state)
    sizes = []
    while (weight := state.get(f"mlp.{len(sizes)}.weight")) is not None:
        sizes.append(weight.shape[0])
    if not widths or not sizes:
        raise CheckpointError(
            f"no style encoder in these {len(state)} tensors; names such as features.0.weight and "
            "mlp.0.weight are expected"
        )
    with torch.device("meta"):  # not drawn at random first: the public one has 1.3 GB
        encoder = StyleEncoder(
            widths, depths, hidden=sizes[:-1], style_dim=sizes[-1], input_size=input_size
        )
    encoder.to_empty(device=state["mlp.0.weight"].device)
    load_exactly(encoder, state, "a style encoder of BlendGAN")
    return encoder.eval().requires_grad_(False)


def _stages(state: Mapping[str, Tensor]) -> tuple[list[int], list[int]]:
    """Widths and depths of the stages; convolutions more than two apart have a pooling between."""
    found = (re.fullmatch(r"features\.(\d+)\.weight", name) for name in state)
    numbers = sorted(int(match[1]) for match in found if match)
    widths: list[int] = []
    depths: list[int] = []
    for number, before in zip(numbers, [-3, *numbers], strict=False):
        if number - before != 2:
            widths.append(state[f"features.{number}.weight"].shape[0])
            depths.append(0)
        depths[-1] += 1
    return widths, depths
