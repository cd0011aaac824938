"""What every training loop shares: exact resume, statistics, progress, a safe stop.

    with Run(out, config, total=config.images, batch=config.batch, state={"G": G, ...}) as run:
        for step in run.steps():
            ...
            run.record({"loss_D": loss})
            if run.due(config.sample_every):
                save_grid(...)

Progress is counted in images. Each step reseeds PyTorch from (seed, cur_nimg), so that stopping
and rerunning the same command gives the numbers of a run that was never stopped.

A step may be computed in shares (train.distributed): those of this process come from
`for share in run.shares("D")`, each of which finds PyTorch seeded alike. Only the first of several
processes writes.
"""

import json
import resource
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import torch
from PIL import Image
from torch import nn
from tqdm import tqdm

from engine.errors import TrainingError
from engine.runtime import Runtime, is_recording
from train.data import seeded
from train.distributed import Share, any_process, num_processes, rank
from train.numbers import Numbers
from train.plot import plot_stats

PATHS = ("out", "pack", "base", "start_from", "grow_from")  # settings that no card tells


class Stateful(Protocol):
    """Anything that can be saved: modules, optimizers, our own small objects."""

    def state_dict(self) -> dict[str, Any]:
        """What is saved."""

    def load_state_dict(self, state: Mapping[str, Any]) -> Any:
        """Take over what was saved."""


class Run:
    """A run folder: config.json, stats.jsonl, state.pt, sample pictures."""

    def __init__(
        self,
        out: str | Path,
        config: Any,
        *,
        total: int,
        batch: int,
        state: Mapping[str, Stateful],
        seed: int = 0,
        save_every_seconds: float = 300.0,
        tick: int = 2000,
        accumulate: int = 1,
        device: torch.device | None = None,
    ):
        """Open or resume the run in folder `out`; `total` and `tick` are counted in images.

        Every process computes `accumulate` shares of a batch, one after the other; `device` is
        where the processes talk to each other, None: the CPU.

        Raises:
            TrainingError: the folder holds a run of another kind or shape.
        """
        self.out, self.config, self.total, self.batch = Path(out), config, total, batch
        self.state, self.seed, self.tick = dict(state), seed, tick
        self.save_every_seconds, self.accumulate = save_every_seconds, accumulate
        self.device = device or torch.device("cpu")
        self.cur_nimg = 0
        self._earlier_seconds, self._opened = 0.0, time.monotonic()
        self._numbers = Numbers(self.out / "state.pt")
        self._stop = False
        self.out.mkdir(parents=True, exist_ok=True)
        self._resume()
        if self.leads:
            text = json.dumps(asdict(config), indent=2, default=str)
            (self.out / "config.json").write_text(text + "\n", encoding="utf-8")

    def __enter__(self) -> "Run":
        self._handlers = {
            number: signal.signal(number, self._request_stop)
            for number in (signal.SIGINT, signal.SIGTERM)
        }
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        if error is None:
            self.save()

    @property
    def stopped(self) -> bool:
        """Whether the user asked to stop before the end."""
        return self._stop

    @property
    def leads(self) -> bool:
        """Whether this is the one process that writes."""
        return rank() == 0

    @property
    def record_of_run(self) -> dict[str, Any]:
        """What a pack's card says of the training: settings, images seen, hours; no folders."""
        settings = {k: v for k, v in asdict(self.config).items() if k not in PATHS and v != ""}
        named = {k: Path(v).name for k, v in settings.items() if isinstance(v, str)}  # not where
        settings |= {k: v for k, v in named.items() if k not in ("about", "title", "method")}
        return {"images_seen": self.cur_nimg, "hours": round(self._seconds() / 3600, 2), **settings}

    def steps(self) -> Iterator[torch.Generator]:
        """Yield a random generator per step until `total` images, saving now and then."""
        saved = self._ticked = time.monotonic()
        self._ticked_nimg = seen = self.cur_nimg
        look = {"unit": "img", "smoothing": 0.02, "mininterval": 1.0, "ncols": 100}
        with tqdm(total=self.total, initial=seen, disable=not self.leads, **look) as bar:
            while self.cur_nimg < self.total and not self._agreed_to_stop():
                generator = seeded(self.seed, 0, self.cur_nimg)
                torch.manual_seed(generator.initial_seed())
                yield generator
                self.cur_nimg += self.batch
                bar.update(self.batch)
                if self.due(self.tick):
                    self._write_stats()
                if time.monotonic() - saved > self.save_every_seconds:
                    self.save()
                    saved = time.monotonic()
            if self._numbers:
                self._write_stats()

    def shares(self, phase: str) -> Iterator[Share]:
        """Yield the shares of this step's batch that this process computes.

        PyTorch is reseeded for each from (seed, phase, cur_nimg), so that all of them draw the
        same numbers for the whole batch, of which each takes its rows.
        """
        for i in range(self.accumulate):
            if not is_recording():
                torch.manual_seed(seeded(self.seed, phase, self.cur_nimg).initial_seed())
            yield Share(rank() * self.accumulate + i, num_processes() * self.accumulate)

    def due(self, every: int) -> bool:
        """Whether a multiple of `every` images was passed by the step that ends here."""
        return self.cur_nimg // every != (self.cur_nimg - self.batch) // every

    def record(self, values: Mapping[str, torch.Tensor | float]) -> None:
        """Add named values to the averages of the next line of stats.jsonl.

        Raises:
            TrainingError: a value is not finite, or too large; the state last saved is kept. Of a
                GPU that is found out when the line is written, or a state.
        """
        self._numbers.add(values, self.cur_nimg)

    def warn(self, message: str) -> None:
        """Tell the user, and stats.jsonl, in plain words that something goes wrong."""
        self._write_line({"cur_nimg": self.cur_nimg, "warning": message})
        if self.leads:
            tqdm.write(f"warning: {message}", file=sys.stderr)

    def save_samples(self, images: torch.Tensor, columns: int) -> None:
        """Write float images [N, 3, R, R] as samples-*.png, and draw stats.png anew."""
        save_grid(self.out / f"samples-{self.cur_nimg:09d}.png", images, columns)
        plot_stats(self.out / "stats.jsonl", self.out / "stats.png")

    def save(self) -> None:
        """Write state.pt so that a crash at any moment leaves either the old or the new one."""
        self._numbers.settle()
        if not self.leads:
            return
        content = {name: part.state_dict() for name, part in self.state.items()}
        part = self.out / "state.pt.part"
        counts = {"cur_nimg": self.cur_nimg, "seconds": self._seconds()}
        torch.save({**counts, "parts": content}, part)
        part.replace(self.out / "state.pt")

    def _resume(self) -> None:
        file = self.out / "state.pt"
        if not file.exists():
            return
        saved = torch.load(file, map_location="cpu", weights_only=True)
        names = set(saved["parts"])
        if names != set(self.state):
            raise TrainingError(
                f"{file} holds {sorted(names)}, this recipe has {sorted(self.state)}: "
                "choose another folder with --out"
            )
        for name, part in self.state.items():
            try:
                part.load_state_dict(saved["parts"][name])
            except (RuntimeError, ValueError) as error:
                raise TrainingError(
                    f"{file} does not fit this configuration ({name}: {error}): "
                    "use the configuration in config.json or another folder"
                ) from error
        self.cur_nimg = saved["cur_nimg"]
        self._earlier_seconds = saved["seconds"]

    def _seconds(self) -> float:
        return self._earlier_seconds + time.monotonic() - self._opened

    def _write_stats(self) -> None:
        now = time.monotonic()
        speed = (self.cur_nimg - self._ticked_nimg) / (now - self._ticked)
        self._ticked, self._ticked_nimg = now, self.cur_nimg
        line = {"cur_nimg": self.cur_nimg, "img_per_s": round(speed, 2)}
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # KiB
        line["peak_mib"] = peak // 1024
        if self.device.type != "cpu":
            line["gpu_mib"] = torch.cuda.max_memory_allocated() // 2**20
        line |= self._numbers.means()
        self._write_line(line)

    def _write_line(self, line: Mapping[str, Any]) -> None:
        if self.leads:
            with (self.out / "stats.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")

    def _agreed_to_stop(self) -> bool:
        """Whether any process was asked to; signals need not reach all of them in one step."""
        self._stop = any_process(self._stop, self.device)
        return self._stop

    def _request_stop(self, number: int, frame: object) -> None:
        self._stop = True


def autocast(runtime: Runtime) -> torch.autocast:
    """Mixed precision for networks that do not choose their own number format.

    Without the cache of casted weights: it lives as long as the context, here the whole loop, so
    that the forward pass would never see an optimizer step.
    """
    enabled = runtime.dtype != torch.float32
    return torch.autocast(runtime.device.type, runtime.dtype, enabled, cache_enabled=False)


class Values(dict[str, float]):
    """Named numbers that are saved and resumed with a run, such as ADA's probability."""

    def state_dict(self) -> dict[str, float]:
        """A plain copy."""
        return dict(self)

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        """Take over the saved numbers."""
        self.update(state)


@torch.no_grad()
def update_ema(ema: nn.Module, module: nn.Module, beta: float) -> None:
    """`ema = beta * ema + (1 - beta) * module` for all floats, batch statistics too."""
    pairs = [*zip(ema.parameters(), module.parameters(), strict=True)]
    for target, source in zip(ema.buffers(), module.buffers(), strict=True):
        if target.is_floating_point():
            pairs.append((target, source))
        else:
            target.copy_(source)
    torch._foreach_lerp_(*map(list, zip(*pairs, strict=True)), 1 - beta)


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Give every parameter group this learning rate."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], torch.Tensor):
            group["lr"].fill_(lr)
        else:
            group["lr"] = lr


def ema_beta(batch: int, half_life: float, cur_nimg: int, rampup: float = 0.05) -> float:
    """Decay per step for a half-life in images, shorter at the start of a training."""
    half_life = min(half_life, max(cur_nimg * rampup, 1.0))
    return 0.5 ** (batch / half_life)


def save_grid(file: str | Path, images: torch.Tensor, columns: int) -> None:
    """Write float images [N, 3, R, R] in [-1, 1] as one picture, row by row."""
    n, _, height, width = images.shape
    rows = -(-n // columns)
    sheet = torch.full((rows * columns, 3, height, width), -1.0)
    sheet[:n] = images.float().clamp(-1, 1).cpu()
    sheet = sheet.reshape(rows, columns, 3, height, width).permute(0, 3, 1, 4, 2)
    pixels = ((sheet + 1) * 127.5).round().byte().reshape(rows * height, columns * width, 3)
    Image.fromarray(pixels.numpy()).save(file)
