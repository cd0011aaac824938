"""The residual discriminator of StyleGAN2 (Karras et al. 2020, arXiv 1912.04958, Section 4.1).

Names, in code and in state dicts, are those of NVIDIA's stylegan2-ada-pytorch without its filter
buffers. Sizes and channels are read off the weights.
"""

import math
import re
from collections.abc import Mapping

import torch
from torch import nn

from engine.errors import CheckpointError
from engine.models.loading import load_exactly
from engine.models.stylegan2 import FullyConnected, config_f_channels, resolutions_up_to
from engine.ops.bias_act import bias_act, clamped
from engine.ops.upfirdn2d import blur, downsample2d


class ConvLayer(nn.Module):
    """Discriminator convolution with equalised learning rate; blurs before a stride of 2."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        *,
        down: bool = False,
        conv_clamp: float | None = None,
    ):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.down, self.conv_clamp = down, conv_clamp

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, in, H, W] -> [N, out, H or H / 2, ...]."""
        weight = (self.weight / math.sqrt(self.weight[0].numel())).to(x.dtype)
        bias = self.bias.to(x.dtype)
        if self.down:
            x = nn.functional.conv2d(blur(x, (2, 2)), weight, bias, stride=2)
        else:
            x = nn.functional.conv2d(x, weight, bias, padding=weight.shape[-1] // 2)
        return clamped(bias_act(x), self.conv_clamp)


class DownSkip(nn.Module):
    """Blur, halve, 1x1 convolution without bias: the residual branch of the discriminator."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, in, H, W] -> [N, out, H / 2, W / 2]."""
        weight = (self.weight / math.sqrt(self.weight.shape[1])).to(x.dtype)
        return nn.functional.conv2d(downsample2d(x), weight)


class DiscriminatorBlock(nn.Module):
    """Residual block from one resolution to half of it; the first one reads RGB."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        from_rgb: bool,
        conv_clamp: float | None = None,
    ):
        super().__init__()
        if from_rgb:
            self.fromrgb = ConvLayer(3, in_channels, 1, conv_clamp=conv_clamp)
        self.conv0 = ConvLayer(in_channels, in_channels, 3, conv_clamp=conv_clamp)
        self.conv1 = ConvLayer(in_channels, out_channels, 3, down=True, conv_clamp=conv_clamp)
        self.skip = DownSkip(in_channels, out_channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, in or 3, H, W] -> [N, out, H / 2, W / 2]."""
        if hasattr(self, "fromrgb"):
            x = self.fromrgb(x)
        return (self.conv1(self.conv0(x)) + self.skip(x)) * math.sqrt(0.5)


class DiscriminatorEpilogue(nn.Module):
    """Minibatch standard deviation, 3x3 convolution, two linear layers."""

    def __init__(
        self,
        channels: int,
        num_features: int,
        group_size: int = 4,
        conv_clamp: float | None = None,
    ):
        super().__init__()
        self.conv = ConvLayer(channels + 1, channels, 3, conv_clamp=conv_clamp)
        self.fc = FullyConnected(channels * 16, num_features, activate=True)
        self.out = FullyConnected(num_features, 1)
        self.group_size = group_size

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, C, 4, 4] -> scores [N, 1]."""
        x = torch.cat([x, minibatch_stddev(x, self.group_size)], dim=1)
        return self.out(self.fc(self.conv(x).flatten(1)))


def minibatch_stddev(x: torch.Tensor, group_size: int = 4) -> torch.Tensor:
    """Mean standard deviation over groups of samples, as one more channel [N, 1, H, W].

    Groups are as large as divides N, at most `group_size`; the public code asks the same of N.
    """
    n, _, height, width = x.shape
    group = next(g for g in range(min(group_size, n), 0, -1) if n % g == 0)
    y = x.float().reshape(group, n // group, *x.shape[1:])
    y = (y.var(dim=0, unbiased=False) + 1e-8).sqrt().mean(dim=(1, 2, 3))  # [N / group]
    return y.repeat(group).reshape(n, 1, 1, 1).expand(-1, -1, height, width).to(x.dtype)


class Discriminator(nn.Module):
    """Residual discriminator of StyleGAN2.

    Args:
        channels: per resolution; None: those of config-f.
        num_features: of the last hidden layer; None: as many as channels at 4 px.
        conv_clamp: bound on what every convolution but the skips gives; None for none.
    """

    def __init__(
        self,
        resolution: int,
        *,
        channels: Mapping[int, int] | None = None,
        num_features: int | None = None,
        conv_clamp: float | None = None,
    ):
        super().__init__()
        channels = channels or config_f_channels(resolution)
        self.resolution, self.channels = resolution, dict(channels)
        self.dtype = torch.float32  # what the convolutions compute in
        for r in resolutions_up_to(resolution)[:0:-1]:
            block = DiscriminatorBlock(
                channels[r], channels[r // 2], from_rgb=r == resolution, conv_clamp=conv_clamp
            )
            self.add_module(f"b{r}", block)
        features = num_features or channels[4]
        self.b4 = DiscriminatorEpilogue(channels[4], features, conv_clamp=conv_clamp)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """image [N, 3, R, R] in [-1, 1] -> realness scores, float32 [N, 1]."""
        if tuple(image.shape[1:]) != (3, self.resolution, self.resolution):
            size = self.resolution
            raise ValueError(f"expected image [N, 3, {size}, {size}], got {list(image.shape)}")
        x = image.to(self.dtype).contiguous(memory_format=torch.channels_last)
        for r in resolutions_up_to(self.resolution)[:0:-1]:
            x = getattr(self, f"b{r}")(x)
        return self.b4(x)


def discriminator_from_state(
    state: Mapping[str, torch.Tensor], conv_clamp: float | None = None
) -> Discriminator:
    """Build a discriminator whose sizes are read off `state`, and load it; see `Discriminator`.

    Raises:
        CheckpointError: tensors are missing, unexpected, or of the wrong shape.
    """
    channels = {
        int(m[1]): state[key].shape[1]
        for key in state
        if (m := re.fullmatch(r"b(\d+)\.conv0\.weight", key))
    }
    if not channels or "b4.out.weight" not in state:
        raise CheckpointError(
            f"no StyleGAN2 discriminator in these {len(state)} tensors; names such as "
            "b64.fromrgb.weight and b4.out.weight are expected"
        )
    channels[4] = state["b4.conv.weight"].shape[0]
    features = state["b4.out.weight"].shape[1]
    discriminator = Discriminator(
        max(channels), channels=channels, num_features=features, conv_clamp=conv_clamp
    )
    load_exactly(discriminator, state, "a StyleGAN2 discriminator")
    return discriminator.eval().requires_grad_(False)
