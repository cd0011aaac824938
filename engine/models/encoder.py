"""Feature pyramid encoder: a photo becomes one code per generator layer, or a Gaussian over them.

Implements the encoder of pixel2style2pixel (Richardson et al. 2021, arXiv 2008.00951, section 3)
and, with `variational=True`, the hierarchical variational encoder of AgileGAN (Song et al. 2021,
section 3.2): linear heads shared by all codes turn each of them into mean and log variance of a
Gaussian in Z+.

`progressive_stage` makes it the encoder of encoder4editing (e4e; Tov et al. 2021, arXiv 2102.02766,
section 4.1): the first head answers one w for all layers, the others small offsets from it.

Two things go beyond the public networks. Widths, units and the input size are free. And
`shared_blocks=True` is what AgileGAN's text says ("each level's feature map goes through a separate
sub-encoder block to produce a 6x512 code") where its public code, like pSp's, has one stack of
convolutions per code. That halves the parameters of the narrow encoders and saves up to a third of
their time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.errors import CheckpointError
from engine.models.backbone_encoder import (
    PUBLIC_INPUT_SIZE,
    EqualizedLinear,
    PhotoEncoder,
    backbone_encoder_from_state,
    latent_avg_of,
)
from engine.models.irse import UNITS_50, WIDTHS_50, initialize_convolutions, trunk_sizes
from engine.models.loading import load_exactly

HEAD_SLOPE = 0.01  # PyTorch's default in the public networks, not StyleGAN's 0.2


class ConvStack(nn.Module):
    """log2(spatial) stride-2 3x3 convolutions with LeakyReLU: a feature map becomes a vector."""

    def __init__(self, channels: int, spatial: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(int(math.log2(spatial))):
            layers += [nn.Conv2d(channels, channels, 3, 2, 1), nn.LeakyReLU(HEAD_SLOPE)]
        self.convs = nn.Sequential(*layers)

    def reduce(self, features: Tensor) -> Tensor:
        """Map `features` [N, C, spatial, spatial] to [N, C]."""
        return self.convs(features).flatten(1)


class StyleHead(ConvStack):
    """pSp's map2style: the convolutions and the equalised linear layer of one code."""

    def __init__(self, channels: int, style_dim: int, spatial: int) -> None:
        super().__init__(channels, spatial)
        self.linear = EqualizedLinear(channels, style_dim)

    def forward(self, features: Tensor) -> Tensor:
        """Map `features` [N, C, spatial, spatial] to one code [N, style_dim]."""
        return self.linear(self.reduce(features))


class SubEncoder(ConvStack):
    """AgileGAN's sub-encoder block: convolutions of one level, one linear layer per code of it."""

    def __init__(self, channels: int, style_dim: int, spatial: int, num_codes: int) -> None:
        super().__init__(channels, spatial)
        self.linears = nn.ModuleList(EqualizedLinear(channels, style_dim) for _ in range(num_codes))

    def forward(self, features: Tensor) -> list[Tensor]:
        """Map `features` [N, C, spatial, spatial] to codes, [N, style_dim] each."""
        vector = self.reduce(features)
        return [linear(vector) for linear in self.linears]


class FeaturePyramidEncoder(PhotoEncoder):
    """IR-SE trunk, three-level feature pyramid, one code per generator layer.

    Args:
        num_ws: number of codes L, 2 log2(resolution) - 2 of the generator.
        input_size: side S of the picture, 16 times a power of two >= 2; the pyramid has S/16, S/8
            and S/4.
        widths, units, in_channels: see `Trunk`.
        style_dim: length of a code.
        feature_dim: channels of the pyramid; None: widths[-1], as in the public networks.
        levels: number of codes read from the coarse and from the medium level, the rest from the
            fine one: (3, 4) in the public weights, equal thirds ((6, 6) of 18) in AgileGAN's text.
        variational: add the shared heads of mean and log variance.
        shared_blocks: one sub-encoder per level instead of one stack of convolutions per code.
        initial_logvar: log variance an untrained encoder answers; 0 is the prior (the public
            initialisation), a negative one lets the content through the sampling from the first
            step on.
        progressive_stage: e4e: how many of the heads after the first add their offset, num_ws - 1
            in a finished network; None: pSp, every head answers a code of its own.
        latent_avg: see `PhotoEncoder`; a variational encoder answers as it is.
    """

    def __init__(
        self,
        num_ws: int,
        *,
        input_size: int = PUBLIC_INPUT_SIZE,
        widths: Sequence[int] = WIDTHS_50,
        units: Sequence[int] = UNITS_50,
        in_channels: int = 3,
        style_dim: int = 512,
        feature_dim: int | None = None,
        levels: tuple[int, int] = (3, 4),
        variational: bool = True,
        shared_blocks: bool = False,
        initial_logvar: float = 0.0,
        progressive_stage: int | None = None,
        latent_avg: Tensor | None = None,
    ) -> None:
        super().__init__(
            num_ws,
            style_dim,
            input_size=input_size,
            widths=widths,
            units=units,
            in_channels=in_channels,
            latent_avg=latent_avg,
        )
        _check_sizes(num_ws, input_size, levels)
        stage = None if progressive_stage is None else torch.tensor(progressive_stage)
        self.register_buffer("progressive_stage", stage)
        self.codes_per_level = (*levels, num_ws - sum(levels))
        self.feature_dim = feature_dim or widths[-1]
        if self.feature_dim != widths[-1]:
            self.latlayer0 = nn.Conv2d(widths[-1], self.feature_dim, 1)
        self.latlayer1 = nn.Conv2d(widths[-2], self.feature_dim, 1)
        self.latlayer2 = nn.Conv2d(widths[-3], self.feature_dim, 1)
        if shared_blocks:
            self.sub_encoders = self._sub_encoders()
        else:
            self.styles = self._heads()
        initialize_convolutions(self)
        if variational:
            self._add_posterior(initial_logvar)

    @property
    def variational(self) -> bool:
        """Whether the encoder answers a distribution (`posterior`) and not only codes."""
        return hasattr(self, "fc_var")

    def forward(self, image: Tensor) -> Tensor:
        """Encode `image` [N, C, S, S] in [-1, 1] as [N, L, style_dim].

        A variational encoder answers the mean of its posterior, any other one its codes plus
        `latent_avg`.

        Raises:
            ImageError: the picture has another size or number of channels.
        """
        codes = self.codes(image)
        codes = self.fc_mu(codes) if hasattr(self, "fc_mu") else codes
        return codes if self.variational else self.centred(codes)

    def posterior(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return `(mu, logvar)` of q(z|x), [N, L, style_dim] each (AgileGAN, section 3.2).

        Args:
            image: [N, C, S, S] in [-1, 1].

        Raises:
            CheckpointError: the encoder has no variational heads.
            ImageError: the picture has another size or number of channels.
        """
        if not self.variational:
            raise CheckpointError(
                "this encoder is deterministic (no fc_var in its weights), it has no "
                "posterior; use its codes, or load a variational encoder (AgileGAN encoder.pt, a "
                "base pack)"
            )
        codes = self.codes(image)
        return self.fc_mu(codes), self.fc_var(codes)

    def codes(self, image: Tensor) -> Tensor:
        """Return the codes [N, L, style_dim] of `image` [N, C, S, S] before the shared heads."""
        self.check(image)
        codes: list[Tensor] = []
        first = 0
        for level, features in enumerate(self.pyramid(image)):
            if hasattr(self, "sub_encoders"):
                codes += self.sub_encoders[level](features)
            else:
                heads = self.styles[first : first + self.codes_per_level[level]]
                codes += [head(features) for head in heads]
            first += self.codes_per_level[level]
        return self._accumulate(torch.stack(codes, dim=1))

    def _accumulate(self, heads: Tensor) -> Tensor:
        """Codes [N, L, style_dim] from what the heads answer: e4e's are offsets from the first."""
        if self.progressive_stage is None:
            return heads
        layers = torch.arange(1, self.num_ws, device=heads.device)
        offsets = heads[:, 1:] * (layers <= self.progressive_stage)[:, None]
        return torch.cat([heads[:, :1], heads[:, :1] + offsets], dim=1)

    def pyramid(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return coarse, medium and fine features [N, feature_dim, S/16 | S/8 | S/4, same]."""
        _, c1, c2, c3 = self.stages(image)
        p3 = self.latlayer0(c3) if hasattr(self, "latlayer0") else c3
        p2 = _upsample(p3, c2) + self.latlayer1(c2)
        p1 = _upsample(p2, c1) + self.latlayer2(c1)
        return p3, p2, p1

    def _heads(self) -> nn.ModuleList:
        heads = []
        for level, count in enumerate(self.codes_per_level):
            spatial = self.input_size // (16 >> level)
            heads += [StyleHead(self.feature_dim, self.style_dim, spatial) for _ in range(count)]
        return nn.ModuleList(heads)

    def _sub_encoders(self) -> nn.ModuleList:
        sizes = [self.input_size // (16 >> level) for level in range(3)]
        return nn.ModuleList(
            SubEncoder(self.feature_dim, self.style_dim, spatial, count)
            for spatial, count in zip(sizes, self.codes_per_level, strict=True)
        )

    def _add_posterior(self, initial_logvar: float) -> None:
        self.fc_mu = nn.Linear(self.style_dim, self.style_dim)
        self.fc_var = nn.Linear(self.style_dim, self.style_dim)
        # Zero as in the public code: the untrained posterior is the prior.
        for head in (self.fc_mu, self.fc_var):
            nn.init.zeros_(head.weight)
            nn.init.zeros_(head.bias)
        nn.init.constant_(self.fc_var.bias, initial_logvar)


def encoder_from_state(state: Mapping[str, Tensor], input_size: int | None = None) -> PhotoEncoder:
    """Build the encoder that `state` (public names, no prefix) belongs to and load it.

    All sizes are read off the shapes; the input size of a feature pyramid follows from the number
    of convolutions per head.

    Args:
        state: tensors of an encoder of pSp, e4e, AgileGAN, FaceStylor, or of one of ours.
            `num_batches_tracked` may be missing. Two tensors are not in the public files, as their
            names alone do not tell: `progressive_stage`, int64 [], makes the encoder e4e's, and
            `latent_avg`, [L or 1, style_dim], is added to the codes.
        input_size: what the caller believes the side of the picture to be; None: do not check.

    Returns:
        A `FeaturePyramidEncoder`, `WEncoder` or `WPlusEncoder`.

    Raises:
        CheckpointError: the tensors do not describe such an encoder, or one of another input size.
    """
    if "linear.weight" in state:
        return backbone_encoder_from_state(state, input_size)
    widths, units, in_channels = trunk_sizes(state)
    stacks, num_codes, linear = _head_sizes(state)
    found = 16 * 2 ** stacks[0]
    if input_size not in (None, found):
        raise CheckpointError(
            f"the encoder reads pictures of {found} px ({stacks[0]} convolutions per coarse head), "
            f"not {input_size} px; leave input_size out or pass {found}"
        )
    encoder = FeaturePyramidEncoder(
        sum(num_codes),
        input_size=found,
        widths=widths,
        units=units,
        in_channels=in_channels,
        style_dim=state[linear].shape[0],
        feature_dim=state[linear].shape[1],
        levels=num_codes[:2],
        variational="fc_var.weight" in state,
        shared_blocks=linear.startswith("sub_encoders."),
        progressive_stage=0 if "progressive_stage" in state else None,
        latent_avg=latent_avg_of(state, sum(num_codes), state[linear].shape[0]),
    )
    if "fc_mu.weight" in state and not encoder.variational:  # FaceStylor kept the mean's head only
        encoder.fc_mu = nn.Linear(encoder.style_dim, encoder.style_dim)
    load_exactly(encoder, state, "a feature pyramid encoder")
    return encoder


def _head_sizes(state: Mapping[str, Tensor]) -> tuple[list[int], tuple[int, ...], str]:
    """Return (convolutions per level, codes per level, name of the first linear weight)."""
    if "sub_encoders.0.linears.0.weight" in state:
        prefixes = [f"sub_encoders.{level}." for level in range(3)]
        stacks = [_count(state, p + "convs.{}.weight", 2) for p in prefixes]
        codes = [_count(state, p + "linears.{}.weight") for p in prefixes]
        return stacks, tuple(codes), "sub_encoders.0.linears.0.weight"
    lengths = []
    while f"styles.{len(lengths)}.linear.weight" in state:
        lengths.append(_count(state, f"styles.{len(lengths)}.convs.{{}}.weight", 2))
    stacks = sorted(set(lengths))
    if len(stacks) != 3 or lengths != sorted(lengths) or stacks[0] + 2 != stacks[2]:
        raise CheckpointError(
            f"the heads have {lengths} convolutions; expected three levels of n, n + 1 and n + 2 "
            "(styles.N.convs, styles.N.linear of a pSp feature pyramid): other encoders are not "
            "read here"
        )
    return stacks, tuple(lengths.count(length) for length in stacks), "styles.0.linear.weight"


def _count(state: Mapping[str, Tensor], name: str, step: int = 1) -> int:
    number = 0
    while name.format(number * step) in state:
        number += 1
    return number


def _upsample(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, size=like.shape[2:], mode="bilinear", align_corners=True)


def _check_sizes(num_ws: int, input_size: int, levels: tuple[int, int]) -> None:
    cells = input_size // 16
    if input_size % 16 or cells < 2 or cells & (cells - 1):
        raise CheckpointError(
            f"encoder input size {input_size} px is not supported; accepted: 32, 64, 128, 256 ..."
        )
    if min(levels) < 1 or sum(levels) >= num_ws:
        raise CheckpointError(
            f"levels {tuple(levels)} do not divide {num_ws} codes; coarse, medium and fine need "
            "one code each"
        )
