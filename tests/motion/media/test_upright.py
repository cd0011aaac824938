from fractions import Fraction

import pytest

from motion.media.upright import shown_size


@pytest.mark.parametrize(
    ("shape", "longest", "shown"),
    [
        (None, 0, (720, 576)),
        (Fraction(16, 15), 0, (768, 576)),
        (Fraction(8, 9), 0, (720, 648)),
        (Fraction(0), 0, (720, 576)),
        (Fraction(1, 100), 0, (720, 576)),
        (None, 360, (360, 288)),
        (None, 9000, (720, 576)),
        (Fraction(16, 15), 384, (384, 288)),
    ],
)
def test_pixels_become_square_and_no_side_is_longer_than_asked(
    shape: Fraction | None, longest: int, shown: tuple[int, int]
) -> None:
    assert shown_size(720, 576, shape, longest) == shown


def test_no_side_becomes_zero() -> None:
    assert shown_size(1000, 1, None, 10) == (10, 1)
