import numpy as np
import pytest
from av.video.reformatter import ColorTrc

from motion.media.color import BT2020_TO_SRGB, tone_map

PQ, HLG = ColorTrc.SMPTE2084, ColorTrc.ARIB_STD_B67


def mapped(signal: float | tuple[float, float, float], transfer: int = PQ) -> list[int]:
    """The sRGB of one non-linear BT.2020 signal in 0..1."""
    pixel = np.broadcast_to(np.array(signal) * 4095, (1, 1, 3)).astype(np.uint16)
    return tone_map(pixel, transfer)[0, 0].tolist()


def pq(candela: float) -> float:
    """SMPTE ST 2084, equation 5.2: light to signal."""
    y = (candela / 10000) ** (1305 / 8192)
    return ((0.8359375 + 18.8515625 * y) / (1 + 18.6875 * y)) ** (2523 / 32)


def test_primaries_keep_white_white() -> None:
    assert BT2020_TO_SRGB.sum(axis=1) == pytest.approx([1, 1, 1], abs=2e-4)


def test_the_darker_half_stays_as_it_is() -> None:
    assert mapped(0.0) == [0, 0, 0]
    assert mapped(pq(101.5)) == pytest.approx([188, 188, 188], abs=1)  # half of paper white
    assert mapped(pq(203 * 0.18)) == pytest.approx([118, 118, 118], abs=1)  # middle grey


def test_what_is_brighter_than_paper_is_rolled_off() -> None:
    levels = [mapped(pq(candela))[0] for candela in (203, 400, 1000, 10000)]
    assert levels == sorted(levels)
    assert 215 < levels[0] < 240
    assert levels[2:] == [255, 255]


def test_hlg_and_pq_agree_on_paper_and_peak() -> None:
    assert mapped(0.75, HLG) == pytest.approx(mapped(pq(203)), abs=3)  # BT.2408: 75 % is paper
    assert mapped(1.0, HLG) == [255, 255, 255]
    assert mapped(0.0, HLG) == [0, 0, 0]


def test_hues_survive() -> None:
    red, green, blue = mapped((pq(300), pq(60), pq(60)))
    assert red > 1.5 * green
    assert abs(green - blue) < 40
