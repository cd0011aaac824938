"""What the face detector is trained on: which cell answers for which face, and how far off it is.

Score: quality focal loss, whose target is the IoU the cell reaches (Li et al. 2020, arXiv
2006.04388, Equation 2, beta = 2). Box: generalised IoU (Rezatofighi et al. 2019, arXiv 1902.09630).
Landmarks: smooth L1 in units of the face size. Boxes are x0, y0, x1, y1 in pixels.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.models.detector import decode

FITTING = {8: (0.0, 52.0), 16: (30.0, 112.0), 32: (72.0, math.inf)}  # stride: face sizes in pixels
UNDECIDED = 1.4  # cells of a stride that fits but for this factor are neither right nor wrong
SMOOTH_BELOW = 0.02  # of the face size: where the landmark loss turns from L1 to L2


def detection_losses(
    outputs: Tensor, cells: Tensor, boxes: Tensor, landmarks: Tensor, valid: Tensor
) -> dict[str, Tensor]:
    """Return the unweighted terms "score", "box" and "landmarks".

    outputs [N, A, 15] of the network for cells [A, 3]; boxes [N, M, 4], landmarks [N, M, 5, 2] and
    valid [N, M] as drawn.
    """
    owner, decided = assign(cells, boxes, valid)
    sample, cell = torch.nonzero(owner >= 0, as_tuple=True)
    face = owner[sample, cell]
    proposed = decode(outputs, cells)
    target_box, target_points = boxes[sample, face], landmarks[sample, face]
    iou, giou = overlap(proposed.boxes[sample, cell], target_box)
    quality = torch.zeros_like(proposed.scores)
    quality[sample, cell] = iou.detach().clamp(0.05, 1)
    logits = outputs[..., 0]
    focus = (quality - proposed.scores).abs().square()
    cross = F.binary_cross_entropy_with_logits(logits, quality, reduction="none")
    count = max(1, len(face))
    unit = (target_box[:, 2:] - target_box[:, :2]).prod(-1).sqrt()[:, None, None]
    miss = (proposed.landmarks[sample, cell] - target_points) / unit
    smooth = F.smooth_l1_loss(miss, torch.zeros_like(miss), beta=SMOOTH_BELOW, reduction="sum")
    return {
        "score": (focus * cross * decided).sum() / count,
        "box": (1 - giou).sum() / count,
        "landmarks": smooth / (count * miss.shape[1] * 2),
    }


@torch.no_grad()
def assign(cells: Tensor, boxes: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Decide which face each cell answers for.

    Returns (owner int64 [N, A]: index of the face, or -1; decided bool [N, A]: False where the
    score of the cell is not judged).
    """
    centre, stride = cells[:, None, :2], cells[:, 2:]  # [A, 1, 2], [A, 1]
    size = (boxes[..., 2:] - boxes[..., :2]).clamp(min=0).prod(-1).sqrt()[:, None]  # [N, 1, M]
    middle = ((boxes[..., :2] + boxes[..., 2:]) / 2)[:, None]  # [N, 1, M, 2]
    distance = (centre - middle).abs().amax(-1) / stride  # [N, A, M], in cells
    reach = (0.2 * size / stride).clamp(0.5, 1.5)
    low, high = (
        torch.tensor([FITTING[int(s)][end] for s in stride[:, 0]], device=cells.device)[:, None]
        for end in (0, 1)
    )
    near = (distance <= reach) & valid[:, None]
    fits = near & (size >= low) & (size <= high)
    almost = near & (size >= low / UNDECIDED) & (size <= high * UNDECIDED)
    owner = torch.where(fits, distance, torch.inf).argmin(-1)
    owned = fits.any(-1)
    return torch.where(owned, owner, -1), owned | ~almost.any(-1)


def overlap(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """IoU and generalised IoU of paired boxes [K, 4], each [K]."""
    low, high = torch.maximum(a[:, :2], b[:, :2]), torch.minimum(a[:, 2:], b[:, 2:])
    shared = (high - low).clamp(min=0).prod(-1)
    union = (a[:, 2:] - a[:, :2]).prod(-1) + (b[:, 2:] - b[:, :2]).prod(-1) - shared
    low, high = torch.minimum(a[:, :2], b[:, :2]), torch.maximum(a[:, 2:], b[:, 2:])
    hull = (high - low).prod(-1)
    iou = shared / union.clamp(min=1e-6)
    return iou, iou - (hull - union) / hull.clamp(min=1e-6)


def point_losses(
    points: Tensor, logits: Tensor, landmarks: Tensor, is_face: Tensor, face_size: float
) -> dict[str, Tensor]:
    """Return "landmarks" (of the faces, in units of `face_size`) and "score" of the second look.

    points and landmarks [N, 5, 2] in pixels of the crop, logits and is_face [N].
    """
    miss = (points[is_face] - landmarks[is_face]) / face_size
    smooth = F.smooth_l1_loss(miss, torch.zeros_like(miss), beta=SMOOTH_BELOW, reduction="sum")
    return {
        "landmarks": smooth / max(1, miss.numel()),
        "score": F.binary_cross_entropy_with_logits(logits, is_face.to(logits)),
    }
