"""A small face detector in two steps: find, then look again.

`CellNetwork` is a single-shot detector: score, box and five rough landmarks for every cell of 8, 16
and 32 pixels of a picture, anchor-free. A residual trunk of plain 3x3 convolutions (faster than
depthwise ones on the processors we run on), a top-down pyramid, and one head shared by the three
strides because what it predicts is measured in strides.

`PointNetwork` looks at a face that was found, set upright at one size: five precise landmarks, as
centres of mass of heat maps, and whether it is a face at all.

Batch normalisation exists during training only: `folded` moves it into the convolutions, and that
is what a pack holds.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

STRIDES = (8, 16, 32)
NUM_LANDMARKS = 5
NUM_OUTPUTS = 1 + 4 + 2 * NUM_LANDMARKS  # score logit, box, landmarks
BOX_UNIT = 4.0  # a box side of exp(0) is this many strides
POINT_UNIT = 2.0  # a landmark offset of 1 is this many strides
NORM_EPSILON = 1e-5


@dataclass(frozen=True)
class Candidates:
    """What every cell proposes, in pixels of the picture the network saw; A cells."""

    scores: Tensor  # [N, A] in 0..1
    boxes: Tensor  # [N, A, 4] x0, y0, x1, y1
    landmarks: Tensor  # [N, A, 5, 2] x, y; left eye, right eye, nose, left mouth, right mouth


def cell_grid(height: int, width: int) -> Tensor:
    """Return x, y of the centre and the stride of every cell of a picture, float32 [A, 3].

    Order: stride 8, 16, 32, each row by row; height and width are multiples of 32.
    """
    levels = []
    for stride in STRIDES:
        y = torch.arange(height // stride) * stride + (stride - 1) / 2
        x = torch.arange(width // stride) * stride + (stride - 1) / 2
        rows, columns = torch.meshgrid(y, x, indexing="ij")
        levels.append(torch.stack([columns, rows, torch.full_like(rows, stride)], -1).view(-1, 3))
    return torch.cat(levels)


def decode(outputs: Tensor, cells: Tensor) -> Candidates:
    """Turn the network's outputs [N, A, 15] for `cells` [A, 3] into pixels."""
    centre, stride = cells[:, :2], cells[:, 2:]
    middle = centre + outputs[..., 1:3] * stride
    half = outputs[..., 3:5].clamp(-6, 6).exp() * (stride * BOX_UNIT / 2)
    points = outputs[..., 5:].unflatten(-1, (NUM_LANDMARKS, 2))  # [N, A, 5, 2]
    landmarks = centre[:, None] + points * (stride[:, None] * POINT_UNIT)
    boxes = torch.cat([middle - half, middle + half], -1)
    return Candidates(outputs[..., 0].sigmoid(), boxes, landmarks)


def box_iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the intersection over union of boxes [A, 4] with boxes [B, 4], as [A, B]."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    overlap = np.clip(high - low, 0, None).prod(-1)
    area_a = np.clip(a[:, 2:] - a[:, :2], 0, None).prod(-1)
    area_b = np.clip(b[:, 2:] - b[:, :2], 0, None).prod(-1)
    return overlap / np.maximum(area_a[:, None] + area_b[None] - overlap, 1e-9)


def suppress(boxes: np.ndarray, scores: np.ndarray, overlap: float) -> list[np.ndarray]:
    """Group boxes [A, 4] greedily by score (non-maximum suppression that keeps the groups).

    Each group is an index array, its winner first; its members overlap the winner by more than
    `overlap` (IoU). Groups come in falling order of the winner's score.
    """
    order = np.argsort(-scores, kind="stable")
    groups = []
    while len(order):
        iou = box_iou(boxes[order[:1]], boxes[order])[0]
        iou[0] = np.inf  # the winner belongs to its group even if its box is empty
        groups.append(order[iou > overlap])
        order = order[iou <= overlap]
    return groups


class ConvUnit(nn.Module):
    """3x3 or 1x1 convolution, batch norm (training only: `norm`), optionally ReLU."""

    def __init__(self, inputs: int, outputs: int, *, stride: int = 1, size: int = 3, norm: bool):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=not norm)
        self.norm = nn.BatchNorm2d(outputs, eps=NORM_EPSILON) if norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, inputs, H, W] to [N, outputs, H / stride, W / stride], not negative."""
        return F.relu(self.norm(self.conv(x)), inplace=True)


class Stage(nn.Module):
    """Halve the resolution, then `depth` residual units."""

    def __init__(self, inputs: int, outputs: int, depth: int, *, norm: bool):
        super().__init__()
        self.down = ConvUnit(inputs, outputs, stride=2, norm=norm)
        self.units = nn.ModuleList(ConvUnit(outputs, outputs, norm=norm) for _ in range(depth))

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, inputs, H, W] to [N, outputs, H / 2, W / 2]."""
        x = self.down(x)
        for unit in self.units:
            x = x + unit(x)
        return x


class CellNetwork(nn.Module):
    """Picture in [-1, 1] -> score, box and landmarks of every cell.

    widths: channels at 1/2, 1/4, 1/8, 1/16 and 1/32 of the picture's size.
    depths: residual units at each of them.
    neck: channels of the pyramid and the head.
    norm: with batch normalisation, for training; without, as shipped.
    """

    def __init__(
        self,
        widths: Sequence[int] = (16, 32, 48, 64, 96),
        depths: Sequence[int] = (0, 1, 2, 2, 1),
        neck: int = 48,
        *,
        norm: bool = False,
    ):
        super().__init__()
        inputs = (3, *widths[:-1])
        self.stages = nn.ModuleList(
            Stage(i, o, d, norm=norm) for i, o, d in zip(inputs, widths, depths, strict=True)
        )
        self.laterals = nn.ModuleList(ConvUnit(w, neck, size=1, norm=norm) for w in widths[-3:])
        self.smooth = ConvUnit(neck, neck, norm=norm)
        self.score_unit = ConvUnit(neck, neck, norm=norm)
        self.shape_unit = ConvUnit(neck, neck, norm=norm)
        self.score = nn.Conv2d(neck, 1, 1)
        self.shape = nn.Conv2d(neck, NUM_OUTPUTS - 1, 1)
        # Faces are rare: start from a probability of 1 % (Lin et al. 2017, section 3.3).
        nn.init.constant_(self.score.bias, -math.log(99.0))
        nn.init.normal_(self.shape.weight, std=0.01)

    def forward(self, image: Tensor) -> Tensor:
        """Map float [N, 3, H, W] in [-1, 1], H and W multiples of 32, to outputs [N, A, 15]."""
        features, x = [], image
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        outputs, above = [], None
        for lateral, feature in zip(reversed(self.laterals), features[:-4:-1], strict=True):
            x = lateral(feature)
            above = x if above is None else x + F.interpolate(above, scale_factor=2.0)
            outputs.append(self._head(above))
        return torch.cat(outputs[::-1], 1)

    def _head(self, x: Tensor) -> Tensor:
        x = self.smooth(x)
        score, shape = self.score(self.score_unit(x)), self.shape(self.shape_unit(x))
        return torch.cat([score, shape], 1).flatten(2).transpose(1, 2).float()  # [N, h * w, 15]


class PointNetwork(nn.Module):
    """Upright face crop -> five landmarks and the logit of its being a face.

    widths and depths as in `CellNetwork`, at 1/2, 1/4, 1/8 and 1/16 of the crop's size; neck:
    channels of the features at 1/4 that the heat maps are made of.
    """

    def __init__(
        self,
        widths: Sequence[int] = (16, 24, 40, 56),
        depths: Sequence[int] = (0, 1, 1, 1),
        neck: int = 32,
        *,
        norm: bool = False,
    ):
        super().__init__()
        inputs = (3, *widths[:-1])
        self.stages = nn.ModuleList(
            Stage(i, o, d, norm=norm) for i, o, d in zip(inputs, widths, depths, strict=True)
        )
        self.laterals = nn.ModuleList(ConvUnit(w, neck, size=1, norm=norm) for w in widths[1:])
        self.smooth = ConvUnit(neck, neck, norm=norm)
        self.heat = nn.Conv2d(neck, NUM_LANDMARKS, 1)
        self.score = nn.Linear(widths[-1], 1)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Map [N, 3, S, S] in [-1, 1], S a multiple of 16, to points [N, 5, 2] and logits [N].

        Points are in pixels of the crop.
        """
        features, x = [], image
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        score = self.score(x.mean((2, 3)))[:, 0]
        above = self.laterals[-1](x)
        for lateral, feature in zip(self.laterals[-2::-1], features[-2:0:-1], strict=True):
            above = lateral(feature) + F.interpolate(above, scale_factor=2.0)
        return centre_of_mass(self.heat(self.smooth(above)), stride=4), score.float()


def centre_of_mass(heat: Tensor, stride: int) -> Tensor:
    """Return the mean position [N, K, 2] (x, y; pixels) under the softmax of maps [N, K, h, w]."""
    mass = heat.float().flatten(2).softmax(-1).unflatten(2, heat.shape[2:])
    rows, columns = (
        torch.arange(n, device=heat.device) * stride + (stride - 1) / 2 for n in heat.shape[2:]
    )
    return torch.stack([mass.sum(2) @ columns, mass.sum(3) @ rows], -1)


class FaceNetwork(nn.Module):
    """The detector of a pack: `cells` finds faces, `points` takes the second look."""

    def __init__(self, cells: CellNetwork, points: PointNetwork):
        super().__init__()
        self.cells, self.points = cells, points

    def forward(self, image: Tensor) -> Tensor:
        """What `cells` gives for a picture [N, 3, H, W]: outputs [N, A, 15]."""
        return self.cells(image)


def folded(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Move each batch norm of a trained state into its convolution: float32 weights and biases."""
    state = {name: value.float() for name, value in state.items()}
    plain = {name: value for name, value in state.items() if ".norm." not in name}
    for name in [n for n in state if n.endswith(".norm.running_var")]:
        unit = name.removesuffix(".norm.running_var")
        variance, mean = state[name], state[f"{unit}.norm.running_mean"]
        gain = state[f"{unit}.norm.weight"] / torch.sqrt(variance + NORM_EPSILON)
        plain[f"{unit}.conv.weight"] = state[f"{unit}.conv.weight"] * gain[:, None, None, None]
        plain[f"{unit}.conv.bias"] = state[f"{unit}.norm.bias"] - mean * gain
    return plain


def detector_from_state(state: Mapping[str, Tensor]) -> FaceNetwork:
    """Build the network a state dict describes, in float32, channels_last, for inference.

    Sizes are read off the weights; a state with batch norm is folded first. Raises KeyError or
    RuntimeError (strict loading) on a state that is no detector.
    """
    state = folded(state)
    parts = [kind(*_sizes(state, name)) for name, kind in _PARTS]
    network = FaceNetwork(*parts)
    network.load_state_dict(state, strict=True)
    return network.eval().requires_grad_(False).to(memory_format=torch.channels_last)


_PARTS = (("cells", CellNetwork), ("points", PointNetwork))


def _sizes(state: Mapping[str, Tensor], part: str) -> tuple[list[int], list[int], int]:
    """Widths, depths and neck of one part of a folded state."""
    widths, depths = [], []
    while f"{part}.stages.{len(widths)}.down.conv.weight" in state:
        stage = f"{part}.stages.{len(widths)}"
        widths.append(len(state[f"{stage}.down.conv.weight"]))
        depths.append(sum(n.startswith(f"{stage}.units.") and n.endswith(".bias") for n in state))
    return widths, depths, len(state[f"{part}.smooth.conv.weight"])
