"""Weights into a network, tensor by tensor: every name and shape has to fit."""

from collections.abc import Mapping

from torch import Tensor, nn

from engine.errors import CheckpointError

SETTINGS = ("picture_size",)  # numbers that the sizes of a network depend on


def shapes_of(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return `state` without its numbers, on the meta device: to try whether a network fits."""
    return {name: v if name in SETTINGS else v.to("meta") for name, v in state.items()}


def load_exactly(module: nn.Module, state: Mapping[str, Tensor], kind: str) -> None:
    """Copy `state` into `module`, in the number formats of the module.

    Counters of batch norms (`num_batches_tracked`) may be missing: files older than PyTorch 0.4.1
    have none, and inference does not use them.

    Args:
        kind: what the module is, for the message: "a StyleGAN2 generator".

    Raises:
        CheckpointError: tensors are missing, unexpected, or of the wrong shape.
    """
    own = module.state_dict()
    problems = [
        f"{key} is {list(state[key].shape)}, expected {list(own[key].shape)}"
        for key in own
        if key in state and state[key].shape != own[key].shape
    ]
    counter = "num_batches_tracked"
    problems += [f"{k} is missing" for k in own if k not in state and not k.endswith(counter)]
    problems += [f"{key} is unexpected" for key in state if key not in own]
    if problems:
        more = len(problems) - 8
        listed = "; ".join(problems[:8]) + (f" and {more} more" if more > 0 else "")
        raise CheckpointError(
            f"these weights do not fit {kind}: {listed}; the file is incomplete or of another kind"
        )
    module.load_state_dict(state, strict=False)
