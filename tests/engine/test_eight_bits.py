"""Weights in 8 bits: small errors, exact names and shapes, nothing else touched."""

import pytest
import torch

from engine.eight_bits import SUFFIX, from_eight_bits, to_eight_bits
from engine.errors import PackError


def state() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    kernel = torch.randn(64, 32, 3, 3, generator=generator)
    kernel *= torch.logspace(-4, 3, 64)[:, None, None, None]  # rows of very different size
    kernel[7] = 0
    return {"kernel": kernel, "bias": torch.randn(64), "count": torch.tensor(3)}


def test_errors_are_half_a_step_of_each_row():
    before = state()
    stored = to_eight_bits(before)
    assert stored["kernel"].dtype == torch.int8 and stored["kernel" + SUFFIX].shape == (64,)
    after = from_eight_bits(stored)
    assert list(after) == list(before)
    largest = before["kernel"].flatten(1).abs().amax(1)
    error = (after["kernel"] - before["kernel"]).flatten(1).abs().amax(1)
    assert (error <= largest / 127 * 0.501).all() and error.sum() > 0
    assert (after["kernel"][7] == 0).all()


def test_short_tensors_and_whole_numbers_stay():
    before = state()
    after = from_eight_bits(to_eight_bits(before))
    assert after["bias"] is before["bias"] and after["count"] is before["count"]
    assert from_eight_bits(before) == before


@pytest.mark.parametrize(
    "wrong",
    [
        {"a" + SUFFIX: torch.ones(4)},
        {"a" + SUFFIX: torch.ones(4), "a": torch.ones(4, 4)},
        {"a" + SUFFIX: torch.ones(3), "a": torch.ones(4, 4, dtype=torch.int8)},
    ],
)
def test_scales_without_their_weights_are_refused(wrong: dict[str, torch.Tensor]):
    with pytest.raises(PackError, match="a.int8_scale of shape .* belongs to no int8 tensor"):
        from_eight_bits(wrong)
