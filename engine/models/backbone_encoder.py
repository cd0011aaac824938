"""What all photo encoders share, and the two that read codes off the trunk's last feature map.

Implements the ablations of pixel2style2pixel (Richardson et al. 2021, arXiv 2008.00951, section
4.1): one code for all layers, from the average of the 16x16 features ("W encoder"), or all codes
from one linear layer ("naive W+"). Parameter names are those of the public files, which call them
BackboneEncoderUsingLastLayerIntoW and ...IntoWPlus.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.errors import CheckpointError, ImageError
from engine.models.irse import UNITS_50, WIDTHS_50, Trunk, trunk_sizes
from engine.models.loading import load_exactly

PUBLIC_INPUT_SIZE = 256


class EqualizedLinear(nn.Module):
    """Linear layer with N(0, 1) weights scaled at run time (Karras et al. 2018, section 4.1)."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_features, in_features))
        self.bias = nn.Parameter(torch.zeros(out_features))
        self.gain = 1 / math.sqrt(in_features)

    def forward(self, x: Tensor) -> Tensor:
        """Map `x` [N, in] to [N, out]."""
        return F.linear(x * self.gain, self.weight, self.bias)


class PhotoEncoder(Trunk):
    """A trunk that answers codes: what is known about its pictures and its codes.

    Args:
        num_ws: number of codes; 1 for an encoder into W, whose answer is [N, style_dim].
        style_dim: length of a code.
        input_size: side S of the picture.
        widths, units, in_channels: see `Trunk`.
        latent_avg: [num_ws or 1, style_dim], added to the codes that `forward` answers: public
            files keep it beside the weights, and their networks learn the difference to it.
    """

    variational = False

    def __init__(
        self,
        num_ws: int,
        style_dim: int = 512,
        *,
        input_size: int = PUBLIC_INPUT_SIZE,
        widths: Sequence[int] = WIDTHS_50,
        units: Sequence[int] = UNITS_50,
        in_channels: int = 3,
        latent_avg: Tensor | None = None,
    ) -> None:
        super().__init__(widths, units, in_channels)
        self.num_ws, self.style_dim = num_ws, style_dim
        self.input_size, self.in_channels = input_size, in_channels
        self.register_buffer("latent_avg", latent_avg)

    def centred(self, codes: Tensor) -> Tensor:
        """Add `latent_avg` to codes [N, style_dim] or [N, L, style_dim], if there is one."""
        return codes if self.latent_avg is None else codes + self.latent_avg

    def check(self, image: Tensor) -> None:
        """Raise ImageError unless `image` is [N, C, S, S]."""
        expected = (self.in_channels, self.input_size, self.input_size)
        if image.ndim != 4 or tuple(image.shape[1:]) != expected:
            raise ImageError(
                f"the encoder got a picture of shape {list(image.shape)}; expected "
                f"{['N', *expected]}: align and resize the face first"
            )


class WEncoder(PhotoEncoder):
    """One code for all layers, from the average of the last feature map; see `PhotoEncoder`.

    The average hides the size of the pictures, so that weights carry it where it is not the
    published one: `picture_size`, int64 [].
    """

    def __init__(self, style_dim: int = 512, **sizes: object) -> None:
        super().__init__(1, style_dim, **sizes)
        self.linear = EqualizedLinear(self.widths[-1], style_dim)
        own = self.input_size != PUBLIC_INPUT_SIZE
        self.register_buffer("picture_size", torch.tensor(self.input_size) if own else None)

    def forward(self, image: Tensor) -> Tensor:
        """Encode `image` [N, C, S, S] in [-1, 1] as one w each, [N, style_dim]; see `check`."""
        self.check(image)
        return self.centred(self.linear(self.stages(image)[-1].mean(dim=(2, 3))))


class WPlusEncoder(PhotoEncoder):
    """All codes from one vector, made of the last feature map pooled to `cells` x `cells`."""

    def __init__(self, num_ws: int, style_dim: int = 512, *, cells: int = 7, **sizes: object):
        super().__init__(num_ws, style_dim, **sizes)
        width = self.widths[-1]
        self.output_layer_2 = nn.Sequential(
            nn.BatchNorm2d(width),
            nn.AdaptiveAvgPool2d(cells),
            nn.Flatten(),
            nn.Linear(width * cells**2, style_dim),
        )
        self.linear = EqualizedLinear(style_dim, num_ws * style_dim)

    def forward(self, image: Tensor) -> Tensor:
        """Encode `image` [N, C, S, S] in [-1, 1] as [N, L, style_dim]; see `check`."""
        self.check(image)
        codes = self.linear(self.output_layer_2(self.stages(image)[-1]))  # [N, L * style_dim]
        return self.centred(codes.unflatten(1, (self.num_ws, self.style_dim)))


def backbone_encoder_from_state(
    state: Mapping[str, Tensor], input_size: int | None = None
) -> WEncoder | WPlusEncoder:
    """Build the backbone encoder that `state` (public names, no prefix) belongs to and load it.

    Args:
        input_size: side of its pictures; None: what `picture_size` says, else 256, as published.

    Raises:
        CheckpointError: the tensors do not describe such an encoder.
    """
    widths, units, in_channels = trunk_sizes(state)
    input_size = input_size or int(state.get("picture_size", PUBLIC_INPUT_SIZE))
    sizes = {"input_size": input_size, "widths": widths, "units": units}
    sizes |= {"in_channels": in_channels}
    if "output_layer_2.3.weight" in state:
        style_dim, pooled = state["output_layer_2.3.weight"].shape
        num_ws = state["linear.weight"].shape[0] // style_dim
        sizes |= {"latent_avg": latent_avg_of(state, num_ws, style_dim)}
        encoder = WPlusEncoder(num_ws, style_dim, cells=math.isqrt(pooled // widths[-1]), **sizes)
    else:
        style_dim = state["linear.weight"].shape[0]
        encoder = WEncoder(style_dim, latent_avg=latent_avg_of(state, 1, style_dim), **sizes)
        if encoder.picture_size is not None:
            state = {**state, "picture_size": encoder.picture_size}
    load_exactly(encoder, state, "a backbone encoder")
    return encoder


def latent_avg_of(state: Mapping[str, Tensor], num_ws: int, style_dim: int) -> Tensor | None:
    """Return a place for the `latent_avg` of an encoder's state, None if it has none.

    Raises:
        CheckpointError: it has neither one row nor one per code.
    """
    average = state.get("latent_avg")
    if average is None:
        return None
    if tuple(average.shape) not in ((1, style_dim), (num_ws, style_dim)):
        raise CheckpointError(
            f"latent_avg has the shape {list(average.shape)}; expected [1, {style_dim}] or "
            f"[{num_ws}, {style_dim}], as the encoder has {num_ws} codes"
        )
    return torch.zeros(average.shape)
