"""Stored colours to sRGB: the matrix and range of the stream, and HDR tone-mapped.

HDR stores light up to 1000 candela and more. It is brought to linear light with white paper
(203 cd/m2, ITU-R BT.2408) at 1, its wide colours (BT.2020) are turned into sRGB's, and what is
brighter than paper is rolled off by the Moebius curve, which leaves the darker half, faces
included, as it is.
"""

from __future__ import annotations

from functools import cache

import av
import numpy as np
from av.video.reformatter import ColorRange, ColorTrc, Interpolation, VideoReformatter

PAPER_WHITE, PEAK = 203.0, 1000.0
HDR_NAMES = {ColorTrc.SMPTE2084: "PQ", ColorTrc.ARIB_STD_B67: "HLG"}
# ITU-R BT.2087: linear BT.2020 to linear BT.709 / sRGB; rows sum to 1.
BT2020_TO_SRGB = np.array(
    [
        [1.6605, -0.5876, -0.0728],
        [-0.1246, 1.1329, -0.0083],
        [-0.0182, -0.1006, 1.1187],
    ],
    np.float32,
)
BT2020_LUMA = np.array([0.2627, 0.6780, 0.0593], np.float32)
UNSPECIFIED = 2
# Flags of libswscale, which PyAV names only from version 18 on: round exactly, and interpolate
# colours between pixels when they are read and when they are written.
ACCURATE, SMOOTH_COLOR, SMOOTH_INPUT = 0x40000, 0x2000, 0x4000
HD_HEIGHT = 720
_LEVELS = 4096


class Developer:
    """Turns stored frames into RGB of one size, `width` x `height`."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self._reformatter = VideoReformatter()

    def __call__(self, picture: av.VideoFrame) -> tuple[np.ndarray, np.ndarray | None]:
        """Return uint8 rgb [H, W, 3] and alpha [H, W], None if the format has none."""
        if has_alpha(picture):
            rgba = self._convert(picture, "rgba")
            return rgba[..., :3], rgba[..., 3]
        if hdr_name(picture):
            # swscale overflows in bright colours of rgb48 (seen with 9.5), not of this
            return tone_map(self._convert(picture, "gbrp12le"), picture.color_trc), None
        return self._convert(picture, "rgb24"), None

    def _convert(self, picture: av.VideoFrame, form: str) -> np.ndarray:
        same_size = (picture.width, picture.height) == (self.width, self.height)
        method = Interpolation.BILINEAR if same_size else Interpolation.BICUBIC
        converted = self._reformatter.reformat(
            picture,
            **{"width": self.width, "height": self.height, "format": form},
            **{"src_colorspace": _matrix(picture), "dst_color_range": ColorRange.JPEG},
            interpolation=method | ACCURATE | SMOOTH_COLOR,
            threads=1,
        )
        return converted.to_ndarray()


def has_alpha(picture: av.VideoFrame) -> bool:
    """Whether the pixels of a frame carry transparency."""
    return any(component.is_alpha for component in picture.format.components)


def hdr_name(picture: av.VideoFrame) -> str:
    """ "PQ" or "HLG", "" for the usual dynamic range."""
    return HDR_NAMES.get(picture.color_trc, "")


def tone_map(signal: np.ndarray, transfer: int) -> np.ndarray:
    """Bring HDR to sRGB.

    Args:
        signal: uint16 [H, W, 3] in 0..4095, BT.2020 primaries, non-linear.
        transfer: ColorTrc.SMPTE2084 (PQ) or ColorTrc.ARIB_STD_B67 (HLG).

    Returns:
        uint8 [H, W, 3].
    """
    light = _to_light(transfer)[signal]  # [H, W, 3], paper white is 1
    if transfer == ColorTrc.ARIB_STD_B67:  # BT.2100: the screen brightens with the luminance
        luma = light @ BT2020_LUMA * (PAPER_WHITE / PEAK)
        light = light * np.power(luma, 0.2, where=luma > 0, out=np.zeros_like(luma))[..., None]
    light = np.maximum(light @ BT2020_TO_SRGB.T, 0)
    brightest = light.max(axis=2, keepdims=True)
    light *= _roll_off(brightest) / np.maximum(brightest, 1e-6)  # all three alike: the hue stays
    return _to_srgb()[np.minimum(light * (_LEVELS - 1) + 0.5, _LEVELS - 1).astype(np.uint16)]


@cache
def _to_light(transfer: int) -> np.ndarray:
    """Table of 4096 signal levels to linear light, SMPTE ST 2084 or the HLG of BT.2100."""
    signal = np.linspace(0, 1, _LEVELS)
    if transfer == ColorTrc.SMPTE2084:
        root = signal ** (32 / 2523)
        light = 10000 * (np.maximum(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)) ** (
            8192 / 1305
        )
    else:
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        light = PEAK * np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
    return (light / PAPER_WHITE).astype(np.float32)


def _roll_off(light: np.ndarray, knee: float = 0.5) -> np.ndarray:
    """The Moebius curve: the identity up to `knee`, then smoothly to 1 at the peak."""
    peak = PEAK / PAPER_WHITE
    a = -(knee**2) * (peak - 1) / (knee**2 - 2 * knee + peak)
    b = (knee**2 - 2 * knee * peak + peak) / (peak - 1)
    curve = (b * b + 2 * b * knee + knee**2) / (b - a) * (light + a) / (light + b)
    return np.where(light <= knee, light, np.minimum(curve, 1))


@cache
def _to_srgb() -> np.ndarray:
    """Table of 4096 levels of linear light to uint8 sRGB."""
    light = np.linspace(0, 1, _LEVELS)
    encoded = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return (encoded * 255 + 0.5).astype(np.uint8)


def _matrix(picture: av.VideoFrame) -> str | None:
    """The matrix of frames that do not say: BT.709 for HD, BT.601 below, as players take it."""
    if picture.colorspace != UNSPECIFIED:
        return None
    return "ITU709" if picture.height >= HD_HEIGHT else "ITU601"
