"""Up-convolution on a CPU in strips of rows: what lies between its two steps stays in the cache.

The transposed convolution of a large picture writes more than any cache holds, into memory that is
new each time; the FIR filter then reads all of it back. Strip by strip, with one more row of input
on either side, the same numbers cost up to a third less (docs/benchmarks/README.md).
"""

from collections.abc import Callable

import torch

LARGE = 32 << 20  # bytes between the two steps; smaller ones are in the cache anyway
STRIP = 8 << 20  # bytes of a strip

UpConvolve = Callable[[torch.Tensor, torch.Tensor, torch.Tensor | None], torch.Tensor]


def pays(x: torch.Tensor, weight: torch.Tensor) -> bool:
    """Whether to cut x [N, I, H, W], to be convolved with weight [O, I, k, k], into strips.

    Only in inference on a CPU: a graph to differentiate or to export would grow with the strips.
    """
    if x.device.type != "cpu" or torch.compiler.is_compiling() or torch.jit.is_tracing():
        return False
    recorded = torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad)
    return not recorded and x.shape[2] * _row_bytes(x, weight) > LARGE


def in_strips(
    up_convolve: UpConvolve, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None
) -> torch.Tensor:
    """`up_convolve(x, weight, bias)` of a few rows of x [N, I, H, W] at a time: [N, O, 2 H, 2 W].

    Rows 2 a to 2 b of the result need rows a - 1 to b + 1 of x, so what is cut off was the border.
    """
    samples, _, height, width = x.shape
    shape = (samples, weight.shape[0], 2 * height, 2 * width)
    is_channels_last = x.is_contiguous(memory_format=torch.channels_last)
    layout = torch.channels_last if is_channels_last else torch.contiguous_format
    out = torch.empty(shape, dtype=x.dtype, memory_format=layout)
    rows = max(1, STRIP // _row_bytes(x, weight))
    for top in range(0, height, rows):
        first, bottom = max(top - 1, 0), min(top + rows, height)
        strip = up_convolve(x[:, :, first : bottom + 1], weight, bias)
        out[:, :, 2 * top : 2 * bottom] = strip[:, :, 2 * (top - first) : 2 * (bottom - first)]
    return out


def _row_bytes(x: torch.Tensor, weight: torch.Tensor) -> int:
    """Bytes that the transposed convolution makes of one row of x: two rows, twice as long."""
    return 4 * x.shape[0] * weight.shape[0] * x.shape[3] * x.element_size()
