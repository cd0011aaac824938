"""What each optimisation is worth: the synthesis network with one of them switched off at a time.

The plain ways are those of public implementations, and give the same picture: a test holds them to
that. Large pages are decided when a process starts, so that way runs in a process of its own.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import lru_cache
from multiprocessing import get_context
from typing import Any
from unittest.mock import patch

import torch
import torch.nn.functional as F

from engine.benchmark.networks import codes, network
from engine.benchmark.timing import interleaved, timed
from engine.models import stylegan2
from engine.models.stylegan2 import Generator
from engine.ops import modulated_conv, strips
from engine.ops.bias_act import bias_act
from engine.ops.dispatch import forced
from engine.ops.upfirdn2d import fir_kernel, upfirdn2d
from engine.runtime import Runtime, pick_runtime

SHIPPED = "as shipped"
LARGE_PAGES = "pages of 4 kB"
KERNELS = "plain PyTorch instead of kernels"
COMPILED = "the same by torch.compile"
Way = Callable[[], AbstractContextManager]


def grouped_modulated_conv2d(
    x: torch.Tensor,
    weight: torch.Tensor,
    styles: torch.Tensor,
    *,
    bias: torch.Tensor,
    noise: torch.Tensor | None = None,
    upsample: bool = False,
    **others: Any,
) -> torch.Tensor:
    """`modulated_conv2d` with one set of weights per sample, as a convolution in N groups."""
    samples, channels, height, width = x.shape
    weights = weight[None] * styles[:, None, :, None, None]  # [N, O, I, 3, 3]
    weights = weights * (weights.square().sum((2, 3, 4), keepdim=True) + 1e-8).rsqrt()
    weights, x = weights.to(x.dtype), x.reshape(1, samples * channels, height, width)
    if upsample:
        transposed = weights.transpose(1, 2).flatten(0, 1)  # [N I, O, 3, 3]
        x = F.conv_transpose2d(x, transposed, stride=2, groups=samples)
        x = x.reshape(samples, -1, *x.shape[2:])
        x = upfirdn2d(x, padding=(1, 1), gain=4.0)
    else:
        x = F.conv2d(x, weights.flatten(0, 1), padding=1, groups=samples)
        x = x.reshape(samples, -1, height, width)
    return bias_act(x if noise is None else x + noise.to(x.dtype), bias)


def fir_of_single_channels(
    x: torch.Tensor,
    padding: tuple[int, int],
    gain: float = 1.0,
    bias: torch.Tensor | None = None,
    **others: Any,
) -> torch.Tensor:
    """`blur` as a convolution of N C pictures of one channel."""
    samples, channels = x.shape[:2]
    x = F.pad(x, (*padding, *padding)).flatten(0, 1)[:, None]
    x = F.conv2d(x, fir_kernel(gain, like=x)[None, None])
    x = x.reshape(samples, channels, *x.shape[2:])
    return x if bias is None else x + bias[:, None, None]


def upsample_by_zeros(x: torch.Tensor, **others: Any) -> torch.Tensor:
    """`upsample2d` as its specification computes it."""
    return upfirdn2d(x, up=2, padding=(2, 1), gain=4.0)


@contextmanager
def channels_first() -> Iterator[None]:
    """Feature maps as [N, C, H, W] in memory."""
    features = stylegan2.SynthesisBlock.features

    def plain(block: Any, *arguments: Any) -> torch.Tensor:
        return features(block, *arguments).contiguous()  # a copy at 4 px only: layers keep layouts

    with patch.object(stylegan2.SynthesisBlock, "features", plain):
        yield


WAYS: dict[str, Way] = {
    "channels_first instead of channels_last": channels_first,
    "one group of weights per sample": lambda: patch.object(
        stylegan2, "modulated_conv2d", grouped_modulated_conv2d
    ),
    "up-convolution of the whole picture, not in strips": lambda: patch.object(
        strips, "LARGE", 1 << 62
    ),
    "FIR on pictures of one channel, not depthwise": lambda: patch.object(
        modulated_conv, "blur", fir_of_single_channels
    ),
    "RGB skip by zeros and FIR, not bilinear": lambda: patch.object(
        stylegan2, "upsample2d", upsample_by_zeros
    ),
    "activation into new memory, not in place": lambda: patch.object(
        modulated_conv, "leaky_relu_", lambda x: F.leaky_relu(x, 0.2)
    ),
    "no_grad instead of inference_mode": lambda: torch.inference_mode(False),
}


def rows(resolution: int, runtime: Runtime, repeat: int, batch: int = 1) -> list[dict[str, Any]]:
    """Return a row per optimisation that is switched off: its seconds, over those as shipped.

    The other of float32 and bfloat16 has a row where it is a choice: a processor that emulates
    bfloat16 takes minutes for a picture.
    """
    G = network(resolution, runtime)
    ws = codes(G, batch)

    def draw(way: Way, dtype: torch.dtype = runtime.dtype) -> None:
        G.synthesis.dtype = dtype
        with torch.inference_mode(), way(), torch.no_grad():
            G.synthesis(ws)

    calls: dict[str, Callable[[], object]] = {SHIPPED: lambda: draw(nullcontext)}
    calls |= {name: lambda way=way: draw(way) for name, way in WAYS.items()}
    is_cpu = runtime.device.type == "cpu"
    if not is_cpu:
        calls |= {KERNELS: lambda: draw(lambda: forced("ref")), COMPILED: _compiled(G, ws)}
    if not is_cpu or torch.bfloat16 in (runtime.dtype, pick_runtime("cpu").dtype):
        other = torch.float32 if runtime.dtype == torch.bfloat16 else torch.bfloat16
        calls[str(other).removeprefix("torch.")] = lambda: draw(nullcontext, other)
    if not is_cpu:
        return _compared(interleaved(calls, repeat, device=runtime.device), batch, runtime)
    dtype = str(runtime.dtype).removeprefix("torch.")
    with _process_without_large_pages() as elsewhere:
        calls[LARGE_PAGES] = lambda: elsewhere.submit(_draw, resolution, dtype, batch).result()
        return _compared(interleaved(calls, repeat), batch, runtime)


def _compared(timings: dict[str, Any], batch: int, runtime: Runtime) -> list[dict[str, Any]]:
    shipped = timings[SHIPPED].cost(runtime.device)
    return [
        {
            "switched off": name,
            **timing.per(batch).cells(),
            "over shipped": timing.cost(runtime.device) / shipped,
        }
        for name, timing in timings.items()
    ]


def _compiled(G: Generator, ws: torch.Tensor) -> Callable[[], object]:
    """Draw with the synthesis network of plain PyTorch, compiled at its first call."""
    network = torch.compile(G.synthesis, dynamic=False)

    def draw() -> None:
        with torch.no_grad(), forced("ref"):
            network(ws)

    return draw


@contextmanager
def _process_without_large_pages() -> Iterator[ProcessPoolExecutor]:
    with patch.dict(os.environ, THP_MEM_ALLOC_ENABLE="0"):
        pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"))
        pool.submit(int).result()  # starts the process while the environment says so
    with pool:
        yield pool


@lru_cache(maxsize=1)
def _prepared(resolution: int, dtype: str, batch: int) -> Callable[[], object]:
    G = network(resolution, pick_runtime("cpu", dtype))
    ws = codes(G, batch)
    return lambda: G.synthesis(ws)


def _draw(resolution: int, dtype: str, batch: int) -> tuple[float, float]:
    with torch.inference_mode():
        return timed(_prepared(resolution, dtype, batch))
