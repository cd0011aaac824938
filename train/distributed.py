"""Several processes, and several shares of a batch per process, that train as one.

    torchrun --nproc-per-node 2 -m train.transfer ... --accumulate 2

Every batch is divided into processes x accumulate shares. A share holds every `count`-th row of the
batch, so that the groups of four whose spread the discriminator looks at are those of the whole
batch wherever the share is a multiple of four. Random numbers are drawn for the whole batch,
alike in all processes, and each share takes its rows: the averaged gradients are those that one
process gets from the batch in one piece (batch statistics apart: those are a share's own).
Nothing is wrapped; gradients are averaged explicitly by `take_step`.
"""

import atexit
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import torch
import torch.distributed as dist
from torch import Tensor

from engine.errors import OptionError, TrainingError
from engine.runtime import Runtime, has_graphs, is_recording, pick_runtime

Batch = TypeVar("Batch")


@dataclass(frozen=True)
class Share:
    """Rows `index`, `index + count`, `index + 2 count` ... of every batch."""

    index: int = 0
    count: int = 1

    def rows(self, batch: Batch) -> Batch:
        """[N, ...] -> [N / count, ...], of a tensor or of what is sliced and counted like one.

        Raises:
            OptionError: the batch cannot be divided.
        """
        if len(batch) % self.count:
            raise OptionError(
                f"{len(batch)} pictures cannot be divided into {self.count} shares (processes "
                "times --accumulate): choose a --batch that is a multiple of twice their number"
            )
        return batch[self.index :: self.count]

    def randn(self, shape: Sequence[int], device: torch.device) -> Tensor:
        """This share's rows [n, ...] of standard normal numbers drawn for the whole batch."""
        return self.rows(torch.randn(self.count * shape[0], *shape[1:], device=device))

    def rand(self, shape: Sequence[int], device: torch.device) -> Tensor:
        """This share's rows [n, ...] of uniform numbers drawn for the whole batch."""
        return self.rows(torch.rand(self.count * shape[0], *shape[1:], device=device))


WHOLE = Share()

# Of each optimizer: the condition that was copied last, and the event that says it has arrived.
_asked: WeakKeyDictionary[torch.optim.Optimizer, tuple[Tensor, Any]] = WeakKeyDictionary()


def join_processes() -> Runtime:
    """Decide where this process runs, and join the others that torchrun started, if any.

    GPUs talk through NCCL, one per process; CPUs through gloo.
    """
    runtime = pick_runtime(trains=True)
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return runtime
    on_cpu = runtime.device.type == "cpu"
    if not on_cpu:
        device = torch.device(runtime.device.type, int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
        runtime = replace(runtime, device=device)
    if not dist.is_initialized():
        dist.init_process_group("gloo" if on_cpu else "nccl")
        atexit.register(dist.destroy_process_group)
    return runtime


def rank() -> int:
    """Number of this process; 0 is the one that writes."""
    return dist.get_rank() if dist.is_initialized() else 0


def num_processes() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def mean_of_processes(values: Mapping[str, float], device: torch.device) -> dict[str, float]:
    """The same named numbers, averaged over all processes."""
    if num_processes() == 1:
        return dict(values)
    numbers = torch.tensor(list(values.values()), dtype=torch.float32, device=device)
    dist.all_reduce(numbers)
    return dict(zip(values, (numbers / num_processes()).tolist(), strict=True))


def any_process(condition: bool, device: torch.device) -> bool:
    """Whether it holds in any process: all of them stop at the same step."""
    return mean_of_processes({"": float(condition)}, device)[""] > 0


def of_all_processes(own: Tensor) -> Tensor:
    """[n, ...] of every process, one after the other: [processes x n, ...].

    Gradients reach the rows of this process alone. A loss of all rows, times the number of
    processes, gets the gradients that one process would have when `take_step` averages them.
    """
    if num_processes() == 1:
        return own
    parts = [torch.empty_like(own) for _ in range(num_processes())]
    dist.all_gather(parts, own.detach().contiguous())
    parts[rank()] = own
    return torch.cat(parts)


def wait_for_all() -> None:
    """Return when every process has come this far."""
    if num_processes() > 1:
        dist.barrier()


def take_step(optimizer: torch.optim.Optimizer, largest_norm: float | None = None) -> None:
    """Average the gradients over all processes, check them, and update the weights.

    `largest_norm` bounds the norm of all gradients together; None: nothing does.

    Raises:
        TrainingError: a gradient is not finite; the weights are as before. On a GPU, which nobody
            waits for here, that is found out one step later.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    gradients = [p.grad for p in parameters if p.grad is not None]
    if num_processes() > 1:
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(flat)
        flat /= num_processes()
        parts = flat.split([gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))
    if not _known(torch.stack(torch._foreach_norm(gradients)).isfinite().all(), optimizer):
        raise TrainingError(
            "a gradient is not finite, the training diverged: state.pt keeps the last good state; "
            "resume with a lower --lr"
        )
    if largest_norm is not None:
        torch.nn.utils.clip_grad_norm_(parameters, largest_norm)
    optimizer.step()


def _known(condition: Tensor, optimizer: torch.optim.Optimizer) -> bool:
    """Return a condition on the CPU; of a GPU that of the last call for this optimizer."""
    if not has_graphs(condition.device):
        return bool(condition)
    if is_recording():  # the losses tell, a little later
        return True
    before = _asked.pop(optimizer, None)
    answer = torch.empty((), dtype=torch.bool, pin_memory=True)
    answer.copy_(condition, non_blocking=True)
    arrived = torch.cuda.Event()
    arrived.record()
    _asked[optimizer] = (answer, arrived)
    if before is None:
        return True
    before[1].synchronize()  # long past
    return bool(before[0])
