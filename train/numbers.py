"""The named numbers of a training between two lines of its statistics."""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from engine.errors import TrainingError
from engine.runtime import has_graphs

EXPLODED = 1e6  # no loss of these recipes comes near while it still trains


class Numbers:
    """Collects numbers and averages them; those of a GPU are read together, as late as possible.

    To read one of them is to wait for all that the GPU was given to do.

    Args:
        state: the file that the error names as the last good state.
    """

    def __init__(self, state: Path) -> None:
        self.state = state
        self._known: dict[str, list[float]] = defaultdict(list)
        self._pending: list[tuple[str, int, torch.Tensor]] = []

    def __bool__(self) -> bool:
        return bool(self._known or self._pending)

    def add(self, values: Mapping[str, torch.Tensor | float], cur_nimg: int) -> None:
        """Add named values of no dimension; raises TrainingError as `settle`."""
        for name, value in values.items():
            if isinstance(value, torch.Tensor) and has_graphs(value.device):
                self._pending.append((name, cur_nimg, value.detach().float()))
            else:
                number = value.item() if isinstance(value, torch.Tensor) else float(value)
                self._add(name, cur_nimg, number)

    def settle(self) -> None:
        """Read what is still on a GPU.

        Raises:
            TrainingError: a value is not finite, or too large.
        """
        pending, self._pending = self._pending, []
        numbers = torch.stack([value for *_, value in pending]).tolist() if pending else []
        for (name, cur_nimg, _), number in zip(pending, numbers, strict=True):
            self._add(name, cur_nimg, number)

    def means(self) -> dict[str, float]:
        """The mean of each since the last call; raises TrainingError as `settle`."""
        self.settle()
        found = {name: float(np.mean(values)) for name, values in self._known.items()}
        self._known.clear()
        return found

    def _add(self, name: str, cur_nimg: int, number: float) -> None:
        if not abs(number) < EXPLODED:
            raise TrainingError(
                f"{name} became {number} after {cur_nimg} images; the last good state is "
                f"{self.state}: resume with a lower learning rate"
            )
        self._known[name].append(number)
