"""The IR-SE trunk (residual units with squeeze-and-excitation) and the ArcFace head on top of it.

Implements the backbone of ArcFace (Deng et al. 2019, arXiv 1801.07698, section 3.2.1 "improved
residual unit") with squeeze-and-excitation (Hu et al. 2018, arXiv 1709.01507), in the arrangement
all public StyleGAN encoders share. Parameter names are those of the public files (`input_layer`,
`body.N.res_layer`, `shortcut_layer`, `output_layer`), so that those load as they are; widths, units
and input channels are free, so that a narrow trunk is the same class.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.errors import CheckpointError
from engine.models.loading import load_exactly

WIDTHS_50 = (64, 64, 128, 256, 512)
UNITS_50 = (3, 4, 14, 3)


class SqueezeExcite(nn.Module):
    """Scale the channels by a gate made from their global means (Hu et al. 2018, equations 2-4)."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        hidden = max(1, channels // reduction)
        self.fc1 = nn.Conv2d(channels, hidden, 1, bias=False)
        self.fc2 = nn.Conv2d(hidden, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` [N, C, H, W] with every channel scaled by its gate in (0, 1)."""
        gate = self.fc2(F.relu(self.fc1(x.mean(dim=(2, 3), keepdim=True))))  # [N, C, 1, 1]
        return x * torch.sigmoid(gate)


class Bottleneck(nn.Module):
    """Improved residual unit: BN, 3x3, PReLU, 3x3 (stride), BN, gate; added to the shortcut."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        if in_channels != out_channels:
            self.shortcut_layer = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False),
                nn.BatchNorm2d(out_channels),
            )
        else:
            self.shortcut_layer = None
        self.res_layer = nn.Sequential(
            nn.BatchNorm2d(in_channels),
            nn.Conv2d(in_channels, out_channels, 3, 1, 1, bias=False),
            nn.PReLU(out_channels),
            nn.Conv2d(out_channels, out_channels, 3, stride, 1, bias=False),
            nn.BatchNorm2d(out_channels),
            SqueezeExcite(out_channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map `x` [N, in, H, W] to [N, out, H/stride, W/stride]; no activation after the sum."""
        if self.shortcut_layer is not None:
            shortcut = self.shortcut_layer(x)
        else:  # a max pool with kernel 1 is nothing but a stride
            shortcut = x[:, :, :: self.stride, :: self.stride] if self.stride > 1 else x
        return self.res_layer(x) + shortcut


class Trunk(nn.Module):
    """The convolutional body of IR-SE: a full-resolution stem, four stages that halve each.

    Args:
        widths: channels of the stem and of the four stages. Stages 2, 3 and 4 must be as wide as no
            neighbour of theirs, so that the architecture can be read off the weights again.
        units: residual units of the four stages; (3, 4, 14, 3) is IR-SE-50.
        in_channels: channels of the picture: 3 RGB, 1 sketch, 19 segmentation.
    """

    def __init__(
        self,
        widths: Sequence[int] = WIDTHS_50,
        units: Sequence[int] = UNITS_50,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        _check_stages(widths, units)
        self.widths, self.units = tuple(widths), tuple(units)
        self.input_layer = nn.Sequential(
            nn.Conv2d(in_channels, widths[0], 3, 1, 1, bias=False),
            nn.BatchNorm2d(widths[0]),
            nn.PReLU(widths[0]),
        )
        blocks = []
        for stage, count in enumerate(units):
            width = widths[stage + 1]
            blocks.append(Bottleneck(widths[stage], width, stride=2))
            blocks += [Bottleneck(width, width, stride=1) for _ in range(count - 1)]
        self.body = nn.Sequential(*blocks)
        initialize_convolutions(self)

    def stages(self, image: Tensor) -> list[Tensor]:
        """Return the outputs of the stages k = 1..4 for `image` [N, C, S, S].

        Returns:
            Four tensors [N, widths[k], S / 2^k, S / 2^k].
        """
        x, taps, start = self.input_layer(image), [], 0
        for count in self.units:
            for block in self.body[start : start + count]:
                x = block(x)
            taps.append(x)
            start += count
        return taps


class ArcFace(Trunk):
    """ArcFace identity embedding on IR-SE-50; loads the public flat file `model_ir_se50.pth`.

    Args:
        embedding_dim: length of the embedding, 512 in the public file.
        widths, units: see `Trunk`.
    """

    crop_size = 112

    def __init__(
        self,
        embedding_dim: int = 512,
        *,
        widths: Sequence[int] = WIDTHS_50,
        units: Sequence[int] = UNITS_50,
    ) -> None:
        super().__init__(widths, units)
        cells = (self.crop_size // 16) ** 2
        self.output_layer = nn.Sequential(
            nn.BatchNorm2d(widths[-1]),
            nn.Dropout(0.6),
            nn.Flatten(),
            nn.Linear(widths[-1] * cells, embedding_dim),
            nn.BatchNorm1d(embedding_dim),
        )

    def forward(self, face: Tensor) -> Tensor:
        """Embed `face` [N, 3, 112, 112] RGB in [-1, 1] as unit vectors [N, 512].

        The dot product of two of them says how alike two faces are.
        """
        return F.normalize(self.output_layer(self.stages(face)[-1]), dim=1)


def arcface_from_state(state: Mapping[str, Tensor]) -> ArcFace:
    """Build the embedding network that `state` belongs to and load it, for inference.

    Raises:
        CheckpointError: the tensors do not describe such a network.
    """
    widths, units, _ = trunk_sizes(state)
    if "output_layer.3.weight" not in state:
        raise CheckpointError(
            f"no ArcFace head in these {len(state)} tensors; expected output_layer.3.weight beside "
            "the IR-SE trunk, as in model_ir_se50.pth: is this an encoder?"
        )
    network = ArcFace(state["output_layer.3.weight"].shape[0], widths=widths, units=units)
    load_exactly(network, state, "ArcFace on IR-SE")
    return network.eval().requires_grad_(False)


def identity_crop(image: Tensor) -> Tensor:
    """Cut the face out of an FFHQ-framed picture for ArcFace.

    Args:
        image: [N, 3, S, S] in [-1, 1]; rows 35:223 and columns 32:220 of it as seen at 256 px are
            kept.

    Returns:
        [N, 3, 112, 112], averaged down by adaptive pooling; other sizes than 256 are averaged (or
        enlarged) to it first.
    """
    if image.shape[-1] > 256:
        image = F.adaptive_avg_pool2d(image, 256)
    elif image.shape[-1] < 256:
        image = F.interpolate(image, size=(256, 256), mode="bilinear", align_corners=False)
    return F.adaptive_avg_pool2d(image[:, :, 35:223, 32:220], ArcFace.crop_size)


def initialize_convolutions(module: nn.Module) -> None:
    """Draw all convolutions of `module` as He et al. 2015, equation 15 (with a PReLU of 0.25)."""
    for child in module.modules():
        if isinstance(child, nn.Conv2d):
            nn.init.kaiming_normal_(child.weight, a=0.25, nonlinearity="leaky_relu")
            if child.bias is not None:
                nn.init.zeros_(child.bias)


def trunk_sizes(state: Mapping[str, Tensor]) -> tuple[tuple[int, ...], tuple[int, ...], int]:
    """Read `(widths, units, in_channels)` of a `Trunk` off its state dict.

    A stage begins at body.0 and wherever a unit changes the number of channels.

    Raises:
        CheckpointError: the tensors do not describe four stages.
    """
    if "input_layer.0.weight" not in state or "body.0.res_layer.1.weight" not in state:
        raise CheckpointError(
            f"no IR-SE trunk in these {len(state)} tensors (first {next(iter(state), None)!r}); "
            "expected input_layer.0.weight and body.0.res_layer.1.weight: strip the prefix "
            "(encoder.) of the file"
        )
    stem, in_channels = state["input_layer.0.weight"].shape[:2]
    widths, units, index = [stem], [], 0
    while (weight := state.get(f"body.{index}.res_layer.1.weight")) is not None:
        if index == 0 or weight.shape[0] != weight.shape[1]:
            widths.append(weight.shape[0])
            units.append(0)
        units[-1] += 1
        index += 1
    _check_stages(widths, units)
    return tuple(widths), tuple(units), in_channels


def _check_stages(widths: Sequence[int], units: Sequence[int]) -> None:
    distinct = all(widths[k] != widths[k + 1] for k in range(1, len(widths) - 1))
    if len(widths) != 5 or len(units) != 4 or min(units) < 1 or not distinct:
        raise CheckpointError(
            f"an IR-SE trunk with widths {tuple(widths)} and units {tuple(units)} is not "
            "supported; accepted are five widths, the last four different from their neighbours, "
            "and four counts >= 1"
        )
