"""The generator of StyleGAN2 (Karras et al. 2020, arXiv 1912.04958).

Names, in code and in state dicts, are those of NVIDIA's stylegan2-ada-pytorch. Sizes,
channels and numbers of layers are read off the weights. Deliberately different: several
attribute paths in a range of resolutions (AgileGAN, Section 3.3), feature hand-over between
generators (UI2I-StyleGAN2, Section 3.2), no filter buffers, nothing compiled at import.
"""

import math
import re
from collections.abc import Callable, Mapping
from typing import Literal

import torch
from torch import nn

from engine.errors import CheckpointError
from engine.models.loading import load_exactly
from engine.ops.bias_act import bias_act, clamped
from engine.ops.modulated_conv import modulated_conv2d, modulated_to_rgb
from engine.ops.upfirdn2d import upsample2d

# The stored maps, fresh ones, none, or a function (shape, device) -> N(0, 1) that draws them.
Noise = Literal["const", "random", "none"] | Callable[[tuple[int, ...], torch.device], torch.Tensor]
State = Mapping[str, torch.Tensor]

# Bound on the layers of networks that were trained without one, when they compute in float16: with
# it no sum of a convolution of 512 channels can leave the format (see `modulated_conv2d`).
FLOAT16_CLAMP = 512.0


def normalize_2nd_moment(x: torch.Tensor) -> torch.Tensor:
    """Divide each row of x [N, C] by its root mean square (PixelNorm)."""
    return x * (x.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()


def config_f_channels(resolution: int, base: int = 32768, maximum: int = 512) -> dict[int, int]:
    """Channels per resolution, min(base / resolution, maximum), from 4 px up."""
    return {r: min(base // r, maximum) for r in resolutions_up_to(resolution)}


def resolutions_up_to(resolution: int) -> list[int]:
    """The sizes of the blocks, [4, 8, ..., resolution]; a power of two of at least 8."""
    if resolution < 8 or resolution & (resolution - 1):
        raise ValueError(f"resolution must be a power of two of at least 8, got {resolution}")
    return [2**i for i in range(2, resolution.bit_length())]


class FullyConnected(nn.Module):
    """Linear layer with equalised learning rate: weights are scaled at run time."""

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        activate: bool = False,
        lr_multiplier: float = 1.0,
        bias_init: float = 0.0,
    ):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_features, in_features) / lr_multiplier)
        self.bias = nn.Parameter(torch.full((out_features,), bias_init / lr_multiplier))
        self.activate = activate
        self.lr_multiplier = lr_multiplier

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, in] -> [N, out]."""
        scale = self.lr_multiplier / math.sqrt(self.weight.shape[1])
        x = nn.functional.linear(x.to(self.weight.dtype), self.weight * scale)
        bias = self.bias * self.lr_multiplier
        return bias_act(x, bias) if self.activate else x + bias


class MappingNetwork(nn.Module):
    """z -> w, with the running mean `w_avg` that truncation pulls towards."""

    def __init__(self, z_dim: int = 512, w_dim: int = 512, num_layers: int = 8):
        super().__init__()
        self.z_dim, self.w_dim, self.num_layers = z_dim, w_dim, num_layers
        for i in range(num_layers):
            layer = FullyConnected(
                z_dim if i == 0 else w_dim, w_dim, activate=True, lr_multiplier=0.01
            )
            self.add_module(f"fc{i}", layer)
        self.register_buffer("w_avg", torch.zeros(w_dim))

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """z [N, z_dim] -> w [N, w_dim]; one row per code, so flatten Z+ first."""
        if z.ndim != 2 or z.shape[1] != self.z_dim:
            raise ValueError(f"expected z [N, {self.z_dim}], got {list(z.shape)}")
        w = normalize_2nd_moment(z.float())
        for i in range(self.num_layers):
            w = getattr(self, f"fc{i}")(w)
        return w


class SynthesisLayer(nn.Module):
    """Modulated 3x3 convolution, noise, bias, leaky ReLU."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        w_dim: int,
        resolution: int,
        *,
        upsample: bool,
        conv_clamp: float | None,
    ):
        super().__init__()
        self.resolution, self.upsample, self.conv_clamp = resolution, upsample, conv_clamp
        self.affine = FullyConnected(w_dim, in_channels, bias_init=1.0)
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, 3, 3))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.register_buffer("noise_const", torch.randn(resolution, resolution))

    def forward(
        self,
        x: torch.Tensor,
        w: torch.Tensor,
        noise: Noise,
        generator: torch.Generator | None = None,
    ) -> torch.Tensor:
        """x [N, in, H, H], w [N, w_dim] -> [N, out, R, R]."""
        scale = 1 / math.sqrt(self.weight[0].numel())  # on the few styles, not the many weights
        bounded = self.conv_clamp is not None or x.dtype != torch.float16
        return modulated_conv2d(
            x,
            self.weight,
            self.affine(w) * scale,
            bias=self.bias,
            noise=self._noise(x, noise, generator),
            upsample=self.upsample,
            clamp=self.conv_clamp if bounded else FLOAT16_CLAMP,
        )

    def _noise(
        self, x: torch.Tensor, noise: Noise, generator: torch.Generator | None
    ) -> torch.Tensor | None:
        if noise == "none":
            return None
        if noise == "const":
            return self.noise_const[None, None] * self.noise_strength
        shape = (x.shape[0], 1, self.resolution, self.resolution)
        if callable(noise):
            return noise(shape, x.device) * self.noise_strength
        drawn = torch.randn(shape, generator=generator, device=x.device)
        return drawn * self.noise_strength


class ToRGB(nn.Module):
    """Modulated 1x1 convolution to RGB, without demodulation."""

    def __init__(self, in_channels: int, w_dim: int, conv_clamp: float | None):
        super().__init__()
        self.conv_clamp = conv_clamp
        self.affine = FullyConnected(w_dim, in_channels, bias_init=1.0)
        self.weight = nn.Parameter(torch.randn(3, in_channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(3))

    def forward(self, x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        """x [N, C, R, R], w [N, w_dim] -> float32 [N, 3, R, R]."""
        scale = 1 / math.sqrt(self.weight.shape[1])
        styles = self.affine(w) * scale
        rgb = modulated_to_rgb(x, self.weight[:, :, 0, 0], styles, self.bias)
        return clamped(rgb, self.conv_clamp)


class SynthesisBlock(nn.Module):
    """One resolution: up-convolution, convolution, ToRGB; at 4 px a constant instead."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        w_dim: int,
        resolution: int,
        conv_clamp: float | None = None,
    ):
        super().__init__()
        sizes = (out_channels, w_dim, resolution)
        if resolution == 4:
            self.const = nn.Parameter(torch.randn(out_channels, 4, 4))
        else:
            self.conv0 = SynthesisLayer(in_channels, *sizes, upsample=True, conv_clamp=conv_clamp)
        self.conv1 = SynthesisLayer(out_channels, *sizes, upsample=False, conv_clamp=conv_clamp)
        self.torgb = ToRGB(out_channels, w_dim, conv_clamp)
        self.num_conv = 1 if resolution == 4 else 2

    def features(
        self,
        x: torch.Tensor | None,
        ws: torch.Tensor,
        noise: Noise,
        generator: torch.Generator | None,
        dtype: torch.dtype,
    ) -> torch.Tensor:
        """The feature map after the block's last convolution; ws [N, 2 or 3, w_dim]."""
        if x is None:
            x = self.const.to(dtype)[None].expand(ws.shape[0], -1, -1, -1)
            x = x.contiguous(memory_format=torch.channels_last)
        else:
            x = self.conv0(x, ws[:, 0], noise, generator)
        return self.conv1(x, ws[:, self.num_conv - 1], noise, generator)


class SynthesisNetwork(nn.Module):
    """w codes -> picture. `paths` hold one copy of a range of blocks per attribute (AgileGAN)."""

    def __init__(
        self,
        resolution: int,
        channels: Mapping[int, int],
        w_dim: int = 512,
        num_paths: int = 1,
        path_until: int = 0,
        *,
        path_from: int = 8,
        conv_clamp: float | None = None,
    ):
        super().__init__()
        self.resolution, self.channels, self.w_dim = resolution, dict(channels), w_dim
        self.conv_clamp = conv_clamp
        self.resolutions = resolutions_up_to(resolution)
        self.num_ws = 2 * len(self.resolutions)
        self.path_from, self.path_until = path_from, path_until if num_paths > 1 else 0
        self.dtype = torch.float32  # what the convolutions compute in
        for r in self.resolutions:
            if not self.in_path(r):
                self.add_module(f"b{r}", self._new_block(r))
        if num_paths > 1:
            own = [r for r in self.resolutions if self.in_path(r)]
            self.paths = nn.ModuleList(
                nn.ModuleDict({f"b{r}": self._new_block(r) for r in own}) for _ in range(num_paths)
            )

    @property
    def num_paths(self) -> int:
        """How many attribute paths there are; 1 for a plain StyleGAN2."""
        return len(self.paths) if hasattr(self, "paths") else 1

    def in_path(self, resolution: int) -> bool:
        """Whether every attribute path has its own block of this resolution."""
        return self.path_from <= resolution <= self.path_until

    def block(self, resolution: int, path: int = 0) -> SynthesisBlock:
        """The block of a resolution, of one attribute path where there are several."""
        if self.in_path(resolution):
            return self.paths[path][f"b{resolution}"]
        return getattr(self, f"b{resolution}")

    def forward(
        self,
        ws: torch.Tensor,
        noise: Noise = "const",
        path: int = 0,
        *,
        replace: Mapping[int, torch.Tensor] | None = None,
        add: Mapping[int, torch.Tensor] | None = None,
        until: int = 0,
        generator: torch.Generator | None = None,
    ) -> torch.Tensor:
        """Codes to picture.

        Args:
            ws: [N, num_ws, w_dim].
            noise: the stored maps, fresh ones (from `generator`), none, or a function that draws.
            path: index of the attribute path.
            replace: feature maps, by resolution, put in place of the block's own before its
                ToRGB (UI2I layer swap); the RGB skip below them stays.
            add: feature maps, by resolution, added to the block's own (engine.models.detail).
            until: the last resolution that is drawn; 0: all, so that R is that of the network.

        Returns:
            float32 [N, 3, R, R], nominally in [-1, 1], not clamped.
        """
        self._check(ws, path)
        x = rgb = None
        for i, r in enumerate(self.resolutions):
            block = self.block(r, path)
            x = block.features(x, self._codes(ws, i), noise, generator, self.dtype)
            if add and r in add:
                x = x + add[r].to(x.dtype)
            if replace and r in replace:
                x = replace[r].to(x.dtype)
            skip = block.torgb(x, ws[:, 2 * i + 1])
            rgb = skip if rgb is None else upsample2d(rgb) + skip
            if r == until:
                break
        return rgb

    def features(
        self,
        ws: torch.Tensor,
        until: int,
        noise: Noise = "const",
        path: int = 0,
        generator: torch.Generator | None = None,
        *,
        add: Mapping[int, torch.Tensor] | None = None,
    ) -> torch.Tensor:
        """The feature map [N, C, until, until] after the second convolution of that block.

        `add` as in `forward`.
        """
        self._check(ws, path)
        if until not in self.resolutions:
            raise ValueError(f"no block of {until} px; there are {self.resolutions}")
        x = None
        for i, r in enumerate(self.resolutions[: self.resolutions.index(until) + 1]):
            block = self.block(r, path)
            x = block.features(x, self._codes(ws, i), noise, generator, self.dtype)
            if add and r in add:
                x = x + add[r].to(x.dtype)
        return x

    def _new_block(self, r: int) -> SynthesisBlock:
        channels = (self.channels.get(r // 2, 0), self.channels[r])
        return SynthesisBlock(*channels, self.w_dim, r, self.conv_clamp)

    def _codes(self, ws: torch.Tensor, i: int) -> torch.Tensor:
        """The codes of block i: block 0 has layers 0, 1; block i > 0 has 2 i - 1 .. 2 i + 1."""
        return ws[:, :2] if i == 0 else ws[:, 2 * i - 1 : 2 * i + 2]

    def _check(self, ws: torch.Tensor, path: int) -> None:
        if ws.ndim != 3 or tuple(ws.shape[1:]) != (self.num_ws, self.w_dim):
            raise ValueError(f"expected ws [N, {self.num_ws}, {self.w_dim}], got {list(ws.shape)}")
        if not 0 <= path < self.num_paths:
            raise ValueError(f"path {path} does not exist; there are {self.num_paths}")


class Generator(nn.Module):
    """Mapping and synthesis network of one StyleGAN2.

    Args:
        channels: per resolution; None: those of config-f.
        num_paths, path_from, path_until: attribute paths, and the first and the last resolution of
            theirs; the constant at 4 px is always shared.
        conv_clamp: bound on what every convolution and ToRGB gives; None for none. Files of
            stylegan2-ada and stylegan3 were trained with 256.
    """

    def __init__(
        self,
        resolution: int,
        *,
        z_dim: int = 512,
        w_dim: int = 512,
        num_layers: int = 8,
        channels: Mapping[int, int] | None = None,
        num_paths: int = 1,
        path_from: int = 8,
        path_until: int = 0,
        conv_clamp: float | None = None,
    ):
        super().__init__()
        self.mapping = MappingNetwork(z_dim, w_dim, num_layers)
        self.synthesis = SynthesisNetwork(
            resolution,
            channels or config_f_channels(resolution),
            w_dim,
            num_paths,
            path_until,
            path_from=path_from,
            conv_clamp=conv_clamp,
        )
        self.resolution, self.num_ws = resolution, self.synthesis.num_ws

    def ws(
        self, z: torch.Tensor, truncation_psi: float = 1.0, truncation_cutoff: int | None = None
    ) -> torch.Tensor:
        """z [N, z_dim] -> ws [N, num_ws, w_dim], pulled to w_avg in the first layers."""
        w = self.mapping(z)[:, None].expand(-1, self.num_ws, -1)
        if truncation_psi == 1:
            return w
        pulled = torch.lerp(self.mapping.w_avg, w, truncation_psi)
        cutoff = self.num_ws if truncation_cutoff is None else truncation_cutoff
        return torch.cat([pulled[:, :cutoff], w[:, cutoff:]], dim=1)

    def forward(
        self, z: torch.Tensor, truncation_psi: float = 1.0, noise: Noise = "const", path: int = 0
    ) -> torch.Tensor:
        """z [N, z_dim] -> float32 [N, 3, R, R]."""
        return self.synthesis(self.ws(z, truncation_psi), noise=noise, path=path)


def generator_from_state(state: State, conv_clamp: float | None = None) -> Generator:
    """Build a generator whose sizes are read off `state`, and load it; see `Generator`.

    Raises:
        CheckpointError: tensors are missing, unexpected, or of the wrong shape.
    """
    prefix = "synthesis."
    channels = {
        int(m[1]): state[key].shape[0]
        for key in state
        if (m := re.fullmatch(r"synthesis\.(?:paths\.0\.)?b(\d+)\.conv1\.weight", key))
    }
    in_path = [int(m[1]) for key in state if (m := re.match(r"synthesis\.paths\.0\.b(\d+)", key))]
    paths = {int(m[1]) for key in state if (m := re.match(r"synthesis\.paths\.(\d+)\.", key))}
    layers = sum(bool(re.fullmatch(r"mapping\.fc\d+\.weight", key)) for key in state)
    if not channels or not layers:
        raise CheckpointError(
            f"no StyleGAN2 generator in these {len(state)} tensors; names such as "
            f"mapping.fc0.weight and {prefix}b4.const are expected"
        )
    w_dim, z_dim = state["mapping.fc0.weight"].shape
    generator = Generator(
        max(channels),
        z_dim=z_dim,
        w_dim=w_dim,
        num_layers=layers,
        channels=channels,
        num_paths=len(paths) or 1,
        path_from=min(in_path, default=8),
        path_until=max(in_path, default=0),
        conv_clamp=conv_clamp,
    )
    load_exactly(generator, state, "a StyleGAN2 generator")
    return generator.eval().requires_grad_(False)


def mapping_from_state(state: State) -> MappingNetwork:
    """Build a mapping network that stands alone (BlendGAN's second one) and load it.

    Args:
        state: `fc0.weight` ...; `w_avg` may be missing and is zero then.

    Raises:
        CheckpointError: tensors are missing, unexpected, or of the wrong shape.
    """
    if "fc0.weight" not in state:
        raise CheckpointError(
            f"no mapping network in these {len(state)} tensors; names such as fc0.weight are "
            "expected"
        )
    w_dim, z_dim = state["fc0.weight"].shape
    layers = sum(bool(re.fullmatch(r"fc\d+\.weight", key)) for key in state)
    mapping = MappingNetwork(z_dim, w_dim, layers)
    load_exactly(mapping, {"w_avg": torch.zeros(w_dim), **state}, "a mapping network")
    return mapping.eval().requires_grad_(False)
