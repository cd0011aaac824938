"""Optical flow of the input, and what it says about two pictures: DIS (Kroeger et al. 2016)."""

from __future__ import annotations

import cv2
import numpy as np

# Photometric occlusion: where the input itself does not come out of the frame before, in 0..255.
SEEN = 12.0
# A result that changed by more than this changed on purpose, such as a mouth that opens.
ALIKE = 40.0
MARGIN = 16  # pixels around what is painted, for the flow


def backward_flow(now: np.ndarray, before: np.ndarray, preset: str = "fast") -> np.ndarray:
    """Return float32 [H, W, 2]: the pixel `p` of `now` was at `p + flow[p]` before.

    Args:
        now, before: uint8 [H, W, 3].
        preset: "ultrafast", "fast" or "medium".
    """
    method = cv2.DISOpticalFlow_create(getattr(cv2, f"DISOPTICAL_FLOW_PRESET_{preset.upper()}"))
    gray = [cv2.cvtColor(x, cv2.COLOR_RGB2GRAY) for x in (now, before)]
    return method.calc(*gray, None)


def pull(before: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """Draw `before` [H, W, ...] as it would look now, by a backward flow."""
    height, width = flow.shape[:2]
    x = flow[..., 0] + np.arange(width, dtype=np.float32)
    y = flow[..., 1] + np.arange(height, dtype=np.float32)[:, None]
    return cv2.remap(before, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def visible(now: np.ndarray, pulled: np.ndarray) -> np.ndarray:
    """Return float32 [H, W] in 0..1: where the input now is the input before, moved.

    Args:
        now: the input, uint8 [H, W, 3].
        pulled: the input before, moved by the flow.
    """
    difference = _largest(cv2.absdiff(now, pulled)).astype(np.float32)
    return np.exp(-((cv2.blur(difference, (3, 3)) / SEEN) ** 2))


def carried(
    now: np.ndarray, drawn: np.ndarray, before: np.ndarray, drawn_before: np.ndarray, share: float
) -> np.ndarray:
    """Mix into a stylized frame the one before, moved as the input moved.

    Only what is painted, visible in both frames and not changed on purpose is mixed.

    Args:
        now, drawn: the frame and its stylized picture, uint8 [H, W, 3].
        before, drawn_before: those of the frame before.
        share: 0 nothing .. 1 all of the frame before.
    """
    if before.shape != now.shape:
        return drawn
    painted = _largest(cv2.absdiff(now, drawn)) > 0
    rows, columns = np.flatnonzero(painted.any(1)), np.flatnonzero(painted.any(0))
    if not len(rows):
        return drawn
    height, width = painted.shape
    top, bottom = max(rows[0] - MARGIN, 0), min(rows[-1] + MARGIN + 1, height)
    left, right = max(columns[0] - MARGIN, 0), min(columns[-1] + MARGIN + 1, width)
    box = np.s_[top:bottom, left:right]
    flow = backward_flow(now[box], before[box])
    weight = share * visible(now[box], pull(before[box], flow)) * painted[box]
    change = pull(drawn_before[box], flow).astype(np.float32) - drawn[box]
    weight *= np.exp(-((_largest(np.abs(change)) / ALIKE) ** 2))
    out = drawn.copy()
    out[box] = np.rint(drawn[box] + weight[..., None] * change)
    return out


def _largest(picture: np.ndarray) -> np.ndarray:
    """The largest of three channels; ten times faster than max over the last axis."""
    return np.maximum.reduce(cv2.split(picture))
