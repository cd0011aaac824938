"""CUDA graphs: the hundred launches of drawing one face, recorded once and replayed as one.

At a batch of one a GPU draws faster than Python can tell it what to do. Nothing here runs on a
CPU.
"""

import logging
import os
import threading
from collections.abc import Callable
from weakref import WeakKeyDictionary

import torch

CALLS_BEFORE_CAPTURE = 2  # a style seen once is not worth recording; they warm kernels up, too

Content = tuple[torch.Tensor, ...]  # codes, and maybe detail
log = logging.getLogger(__name__)
_lock = threading.Lock()
_recorded: WeakKeyDictionary = WeakKeyDictionary()  # network -> {key: calls, Recording or None}


class Recording:
    """A call of `network` with content of one shape; not to be replayed by two at once."""

    def __init__(self, network: Callable[..., torch.Tensor], content: Content) -> None:
        # Buffers that are normal tensors can be written in inference mode and outside of it.
        with torch.inference_mode(False), torch.no_grad():
            self.content = tuple(x.clone() for x in content)
            self.graph = torch.cuda.CUDAGraph()
            stream = torch.cuda.Stream()
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):  # libraries set themselves up per stream
                _drawn(network, self.content)
            torch.cuda.current_stream().wait_stream(stream)
            # Other threads may use the GPU meanwhile.
            with torch.cuda.graph(self.graph, stream=stream, capture_error_mode="thread_local"):
                self.picture = _drawn(network, self.content)

    def replay(self, content: Content) -> torch.Tensor:
        """Run the recording on `content`; a copy, as the next replay writes over the picture."""
        for buffer, value in zip(self.content, content, strict=True):
            buffer.copy_(value)
        self.graph.replay()
        return self.picture.clone()


def replayed(
    network: torch.nn.Module, ws: torch.Tensor, detail: torch.Tensor | None = None
) -> torch.Tensor:
    """Draw codes and detail, from the third call on as a CUDA graph where that helps.

    It does for a batch of one, on a CUDA GPU, where no gradient is recorded. The network must do
    the same for the same shape: parameters may change in place, but must not be replaced.
    `STYLIZE_GRAPHS=0` turns recording off.

    Args:
        network: a synthesis network, with `dtype` telling what it computes in.
        ws: [N, L, w_dim].
        detail: [N, C, r, r], added to its features of r px; None: nothing.
    """
    content = (ws,) if detail is None else (ws, detail)
    if ws.device.type != "cuda" or ws.shape[0] != 1 or torch.is_grad_enabled():
        return _drawn(network, content)
    if os.environ.get("STYLIZE_GRAPHS") == "0":
        return _drawn(network, content)
    key = (*((tuple(x.shape), x.dtype, x.device) for x in content), network.dtype)
    with _lock:
        states = _recorded.setdefault(network, {})
        state = states.setdefault(key, 0)
        if state == CALLS_BEFORE_CAPTURE:
            state = states[key] = _record(network, content)
        if isinstance(state, Recording):
            return state.replay(content)
        if state is not None:
            states[key] = state + 1
    return _drawn(network, content)


def _drawn(network: Callable[..., torch.Tensor], content: Content) -> torch.Tensor:
    ws, *detail = content
    return network(ws, add={x.shape[-1]: x for x in detail})


def _record(network: torch.nn.Module, content: Content) -> Recording | None:
    try:
        return Recording(network, content)
    except RuntimeError as error:
        log.warning("drawing goes on without a CUDA graph: %s", error)
        return None
