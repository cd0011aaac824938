"""The synthesis network once more, out of constants and plain operations, to be exported.

Everything that does not depend on the codes is computed here: scaled weights, the energies of the
demodulation, noise. What is left is linear layers, convolutions with constant weights, products
and sums, for batches of any size: no operation that a runtime may lack, no weights that are made
anew for every picture, which CoreML refuses, and nothing that quantization cannot see. It draws
what `engine.models.stylegan2` draws; the tests compare the two.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.models.stylegan2 import FullyConnected, SynthesisLayer, SynthesisNetwork, ToRGB
from engine.ops.bias_act import GAIN, SLOPE
from engine.ops.modulated_conv import EPSILON
from engine.ops.upfirdn2d import fir_kernel, upsample2d


class Affine(nn.Linear):
    """w [N, w_dim] -> styles [N, C], scaled by 1 / sqrt(fan_in) of the convolution they are for."""

    def __init__(self, source: FullyConnected, fan_in: int) -> None:
        super().__init__(source.weight.shape[1], source.weight.shape[0])
        scale = 1 / math.sqrt(fan_in)
        equalized = source.lr_multiplier / math.sqrt(source.weight.shape[1])
        self.weight = nn.Parameter(source.weight.detach() * (equalized * scale))
        self.bias = nn.Parameter(source.bias.detach() * (source.lr_multiplier * scale))


class Layer(nn.Module):
    """`SynthesisLayer`: styles scale what goes into the convolution, gains what comes out."""

    def __init__(self, source: SynthesisLayer) -> None:
        super().__init__()
        weight = source.weight.detach()
        self.affine = Affine(source.affine, weight[0].numel())
        self.upsample, self.limit = source.upsample, source.conv_clamp
        self.weight = nn.Parameter(weight.transpose(0, 1) if self.upsample else weight)
        self.register_buffer("energy", weight.square().sum((2, 3)).t())  # [I, O]
        self.register_buffer("bias", source.bias.detach()[None, :, None, None] * GAIN)
        noise = source.noise_const[None, None] * source.noise_strength.detach() * GAIN
        self.register_buffer("noise", noise if noise.any() else None)
        channels = len(source.bias)
        kernel = fir_kernel(4.0, like=weight).expand(channels, 1, 4, 4)
        self.register_buffer("kernel", kernel.contiguous() if self.upsample else None)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """x [N, I, H, W], w [N, w_dim] -> [N, O, R, R]."""
        styles = self.affine(w)
        gains = GAIN / torch.sqrt(styles * styles @ self.energy + EPSILON)
        x = x * styles[:, :, None, None]
        if self.upsample:
            x = F.conv_transpose2d(x, self.weight, stride=2)
            x = F.conv2d(x, self.kernel, padding=1, groups=len(self.kernel))
        else:
            x = F.conv2d(x, self.weight, padding=1)
        x = x * gains[:, :, None, None] + self.bias
        x = F.leaky_relu(x if self.noise is None else x + self.noise, SLOPE)
        return x if self.limit is None else x.clamp(-self.limit, self.limit)


class Skip(nn.Module):
    """`ToRGB`: a 1x1 convolution of scaled features."""

    def __init__(self, source: ToRGB) -> None:
        super().__init__()
        self.affine = Affine(source.affine, source.weight.shape[1])
        self.weight, self.bias = source.weight, source.bias
        self.limit = source.conv_clamp

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """x [N, C, R, R], w [N, w_dim] -> [N, 3, R, R]."""
        rgb = F.conv2d(x * self.affine(w)[:, :, None, None], self.weight, self.bias)
        return rgb if self.limit is None else rgb.clamp(-self.limit, self.limit)


class PlainSynthesis(nn.Module):
    """ws [N, L, w_dim] -> picture [N, 3, R, R], for one network without attribute paths.

    Args:
        synthesis: what is drawn with, its stored noise included.
        until: the last resolution that is computed; None: all.
    """

    def __init__(self, synthesis: SynthesisNetwork, until: int | None = None) -> None:
        super().__init__()
        wanted = [r for r in synthesis.resolutions if until is None or r <= until]
        blocks = [synthesis.block(r) for r in wanted]
        self.resolutions = wanted
        self.register_buffer("const", blocks[0].const.detach()[None])
        self.layers = nn.ModuleList(
            nn.ModuleList(Layer(conv) for conv in (getattr(b, "conv0", None), b.conv1) if conv)
            for b in blocks
        )
        self.skips = nn.ModuleList(Skip(b.torgb) for b in blocks)

    def features(self, ws: Tensor, detail: Tensor | None = None) -> Tensor:
        """The feature map after the last block's second convolution, [N, C, until, until]."""
        x, number = self.const, 0
        for resolution, block in zip(self.resolutions, self.layers, strict=True):
            for layer in block:
                x = layer(x, ws[:, number])
                number += 1
            x = _with_detail(x, detail, resolution)
        return x

    def forward(
        self,
        ws: Tensor,
        features: Tensor | None = None,
        at: int = 0,
        detail: Tensor | None = None,
    ) -> Tensor:
        """Draw codes; `features` take the place of the block's own at resolution `at`.

        `detail` is added to the block's own where it has their size (engine.models.detail).
        """
        x, rgb, number = self.const, None, 0
        for resolution, block, skip in zip(self.resolutions, self.layers, self.skips, strict=True):
            for layer in block:
                x = layer(x, ws[:, number])
                number += 1
            x = _with_detail(x, detail, resolution)
            x = features if resolution == at else x
            drawn = skip(x, ws[:, number])
            rgb = drawn if rgb is None else upsample2d(rgb) + drawn
        return rgb


def _with_detail(x: Tensor, detail: Tensor | None, resolution: int) -> Tensor:
    return x if detail is None or detail.shape[-1] != resolution else x + detail
