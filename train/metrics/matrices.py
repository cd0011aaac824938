"""What feature matrices have to be before any number is computed from them."""

import torch
from torch import Tensor

from engine.errors import OptionError


def check_features(*matrices: Tensor, least: int = 2) -> list[Tensor]:
    """Return feature matrices [N, F] as float64; one F, each at least `least` rows.

    Raises:
        OptionError: shapes that do not fit, too few rows, or values that are not finite.
    """
    shapes = [list(matrix.shape) for matrix in matrices]
    if any(len(s) != 2 or s[0] < least or s[1] != shapes[0][1] for s in shapes):
        raise OptionError(
            f"features of shape {', '.join(map(str, shapes))}; expected [N, F] with one F and at "
            f"least {least} rows each: use more pictures, and one extractor for all"
        )
    for matrix in matrices:
        if not torch.isfinite(matrix).all():
            raise OptionError(
                f"features of shape {list(matrix.shape)} hold infinite or undefined values; finite "
                "ones are accepted: look at the pictures, the network may have diverged"
            )
    return [matrix.double() for matrix in matrices]


def check_rows(x: Tensor, y: Tensor) -> list[Tensor]:
    """Return two matrices whose rows belong together as float64; raises OptionError."""
    if x.shape != y.shape:
        raise OptionError(
            f"features of shape {list(x.shape)} and {list(y.shape)}; row i of one is compared with "
            "row i of the other: pass the same pictures in the same order"
        )
    return check_features(x, y, least=1)
