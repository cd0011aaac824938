"""CUDA graphs: the hundred launches of drawing one face, recorded once and replayed as one.

At a batch of one a GPU draws faster than Python can tell it what to do. Nothing here runs on a
CPU. Written without a GPU at hand and not yet run on one (docs/kernels.md).
"""

import logging
import os
import threading
from collections.abc import Callable
from weakref import WeakKeyDictionary

import torch

CALLS_BEFORE_CAPTURE = 2  # a style seen once is not worth recording; they warm kernels up, too

log = logging.getLogger(__name__)
_lock = threading.Lock()
_recorded: WeakKeyDictionary = WeakKeyDictionary()  # network -> {key: calls, Recording or None}


class Recording:
    """A call of `network` with codes of one shape, recorded; not to be replayed by two at once."""

    def __init__(self, network: Callable[[torch.Tensor], torch.Tensor], ws: torch.Tensor) -> None:
        # Buffers that are normal tensors can be written in inference mode and outside of it.
        with torch.inference_mode(False), torch.no_grad():
            self.ws = ws.clone()
            self.graph = torch.cuda.CUDAGraph()
            stream = torch.cuda.Stream()
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):  # libraries set themselves up per stream
                network(self.ws)
            torch.cuda.current_stream().wait_stream(stream)
            # Other threads may use the GPU meanwhile.
            with torch.cuda.graph(self.graph, stream=stream, capture_error_mode="thread_local"):
                self.picture = network(self.ws)

    def replay(self, ws: torch.Tensor) -> torch.Tensor:
        """Run the recording on `ws`; a copy, as the next replay writes over the picture."""
        self.ws.copy_(ws)
        self.graph.replay()
        return self.picture.clone()


def replayed(network: torch.nn.Module, ws: torch.Tensor) -> torch.Tensor:
    """`network(ws)`, from its third call on as a CUDA graph where that helps.

    It does for a batch of one, on a CUDA GPU, where no gradient is recorded. The network must do
    the same for the same shape: parameters may change in place, but must not be replaced.
    `STYLIZE_GRAPHS=0` turns recording off.

    Args:
        network: a synthesis network, with `dtype` telling what it computes in.
        ws: [1, L, w_dim].
    """
    if ws.device.type != "cuda" or ws.shape[0] != 1 or torch.is_grad_enabled():
        return network(ws)
    if os.environ.get("STYLIZE_GRAPHS") == "0":
        return network(ws)
    key = (tuple(ws.shape), ws.dtype, ws.device, network.dtype)
    with _lock:
        states = _recorded.setdefault(network, {})
        state = states.setdefault(key, 0)
        if state == CALLS_BEFORE_CAPTURE:
            state = states[key] = _record(network, ws)
        if isinstance(state, Recording):
            return state.replay(ws)
        if state is not None:
            states[key] = state + 1
    return network(ws)


def _record(network: torch.nn.Module, ws: torch.Tensor) -> Recording | None:
    try:
        return Recording(network, ws)
    except RuntimeError as error:
        log.warning("drawing goes on without a CUDA graph: %s", error)
        return None
