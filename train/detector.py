"""Recipe: the embedded face detector, from portraits with a box and five landmarks each.

    python -m train.detector --data ../shared/data/wild --out runs/detector
    python -m train.detector --data ../shared/data/wild --out runs/detector --evaluate

Two networks are trained one after the other, each in a folder of its own below --out: `cells`
finds faces in composed pictures (train.faces), loss = score + `box_weight` x box +
`landmark_weight` x landmarks of train.face_losses; `points` takes the second look at upright crops
(train.upright), loss = score + `landmark_weight` x landmarks. AdamW with a cosine schedule; the
weights written, OUT/detector.safetensors in float16, are exponential moving averages.
"""

import json
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from engine.detect import EmbeddedDetector, YuNetDetector
from engine.detect.embedded import CROP
from engine.detect.face import UPRIGHT_SHARE
from engine.errors import OptionError
from engine.image import to_tensor
from engine.models.detector import CellNetwork, FaceNetwork, PointNetwork, cell_grid, folded
from engine.runtime import Runtime, pick_runtime
from train.config import configure, parser_of
from train.face_losses import detection_losses, point_losses
from train.face_metrics import measure
from train.faces import draw_faces
from train.loop import Run, ema_beta, set_lr, update_ema
from train.portraits import Portrait, read_portraits
from train.upright import draw_crops

WEIGHTS = "detector.safetensors"


@dataclass(frozen=True)
class DetectorConfig:
    """Settings of train.detector."""

    data: str = field(default="../shared/data/wild", metadata={"help": "holds train.csv, test.csv"})
    out: str = field(default="runs/detector", metadata={"help": "run folder; rerun to resume"})
    size: int = field(default=256, metadata={"help": "side of the training pictures, by 32"})
    neck: int = field(default=48, metadata={"help": "channels of the pyramid and the head"})
    images: int = field(default=120_000, metadata={"help": "composed pictures to show"})
    batch: int = field(default=32, metadata={"help": "pictures per step"})
    crops: int = field(default=200_000, metadata={"help": "upright crops to show"})
    crop_batch: int = field(default=64, metadata={"help": "crops per step"})
    lr: float = field(default=0.003, metadata={"help": "AdamW, highest value of the schedule"})
    weight_decay: float = field(default=0.01, metadata={"help": "AdamW"})
    warmup: int = field(default=3_000, metadata={"help": "pictures of rising learning rate"})
    ema_images: float = field(default=4_000, metadata={"help": "half-life of the average"})
    box_weight: float = field(default=2.0, metadata={"help": "of the generalised IoU loss"})
    landmark_weight: float = field(default=20.0, metadata={"help": "of the landmark loss"})
    seed: int = field(default=0, metadata={"help": "of everything that is drawn"})

    def __post_init__(self) -> None:
        """Refuse what cannot be trained."""
        if self.size < 64 or self.size % 32:
            raise OptionError(f"--size {self.size} must be a multiple of 32 from 64 up: try 256")
        for name in ("batch", "crop_batch"):
            if getattr(self, name) < 2:
                flag = name.replace("_", "-")
                raise OptionError(f"--{flag} {getattr(self, name)} must be at least 2: try 32")


PRESETS = {
    "cpu": DetectorConfig(),
    "gpu": DetectorConfig(images=600_000, batch=128, crops=1_000_000),
}


class Training:
    """A network in training: optimizer, schedule, moving average, run folder."""

    def __init__(self, network: nn.Module, average: nn.Module, config: DetectorConfig, total: int):
        """Put `network` and its `average`, of one shape, on the device; `total` is in images."""
        self.runtime: Runtime = pick_runtime(trains=True)
        self.config, self.total = config, total
        self.network, self.average = network, average.requires_grad_(False)
        average.load_state_dict(network.state_dict())
        for module in (network, average):
            module.to(self.runtime.device, memory_format=torch.channels_last)
        self.optimizer = torch.optim.AdamW(
            network.parameters(), config.lr, weight_decay=config.weight_decay, fused=True
        )

    def run(self, out: Path, batch: int, losses: Callable[[int], dict[str, Tensor]]) -> bool:
        """Minimise the weighted `losses(cur_nimg)` until `total` images; rerun to resume.

        Returns whether the end was reached; if not, the user stopped.
        """
        config = self.config
        weights = {"box": config.box_weight, "landmarks": config.landmark_weight}
        state = {"network": self.network, "average": self.average, "optimizer": self.optimizer}
        run = Run(out, config, total=self.total, batch=batch, state=state, seed=config.seed)
        with run:
            for _ in run.steps():
                terms = losses(run.cur_nimg)
                total = sum(weights.get(name, 1.0) * term for name, term in terms.items())
                set_lr(
                    self.optimizer, config.lr * schedule(run.cur_nimg, config.warmup, self.total)
                )
                self.optimizer.zero_grad(set_to_none=True)
                total.backward()
                nn.utils.clip_grad_norm_(self.network.parameters(), 10.0)
                self.optimizer.step()
                beta = ema_beta(batch, config.ema_images, run.cur_nimg)
                update_ema(self.average, self.network, beta)
                run.record(terms)
        return not run.stopped

    def tensor(self, images: np.ndarray) -> Tensor:
        """Put uint8 [N, S, S, 3] on the device, as the network wants it."""
        return to_tensor(images).to(self.runtime.device, memory_format=torch.channels_last)

    def labels(self, *arrays: np.ndarray) -> list[Tensor]:
        """Put labels on the device."""
        return [torch.from_numpy(array).to(self.runtime.device) for array in arrays]

    def autocast(self) -> torch.autocast:
        """Mixed precision where the device is fast at it."""
        dtype = self.runtime.dtype
        return torch.autocast(self.runtime.device.type, dtype, dtype != torch.float32)


def train_cells(config: DetectorConfig, portraits: list[Portrait]) -> CellNetwork | None:
    """Train the network that finds faces in OUT/cells; return its average, None if stopped."""
    torch.manual_seed(config.seed)
    networks = [CellNetwork(neck=config.neck, norm=True) for _ in range(2)]
    training = Training(*networks, config, config.images)
    cells = cell_grid(config.size, config.size).to(training.runtime.device)

    def losses(cur_nimg: int) -> dict[str, Tensor]:
        faces = draw_faces(portraits, config.size, config.batch, config.seed, cur_nimg)
        labels = training.labels(faces.boxes, faces.landmarks, faces.valid)
        with training.autocast():
            outputs = training.network(training.tensor(faces.images))
        return detection_losses(outputs, cells, *labels)

    finished = training.run(Path(config.out) / "cells", config.batch, losses)
    return training.average if finished else None


def train_points(config: DetectorConfig, portraits: list[Portrait]) -> PointNetwork | None:
    """Train the network of the second look in OUT/points; return its average, None if stopped."""
    torch.manual_seed(config.seed)
    networks = [PointNetwork(norm=True) for _ in range(2)]
    training = Training(*networks, config, config.crops)

    def losses(cur_nimg: int) -> dict[str, Tensor]:
        crops = draw_crops(portraits, config.crop_batch, config.seed, cur_nimg)
        labels = training.labels(crops.landmarks, crops.is_face)
        with training.autocast():
            points, logits = training.network(training.tensor(crops.images))
        return point_losses(points, logits, *labels, face_size=UPRIGHT_SHARE * CROP)

    finished = training.run(Path(config.out) / "points", config.crop_batch, losses)
    return training.average if finished else None


def train(config: DetectorConfig) -> Path | None:
    """Train both networks; return the weights' file, OUT/WEIGHTS, or None if stopped before."""
    portraits = read_portraits(Path(config.data) / "train.csv")
    cells = train_cells(config, portraits)
    points = cells and train_points(config, portraits)
    if cells is None or points is None:
        return None
    state = folded(FaceNetwork(cells, points).state_dict())
    file = Path(config.out) / WEIGHTS
    save_file({name: weight.half().cpu().contiguous() for name, weight in state.items()}, file)
    return file


def schedule(cur_nimg: int, warmup: int, images: int) -> float:
    """Factor of the learning rate: linear rise over `warmup` images, then half a cosine to 1 %."""
    if cur_nimg < warmup:
        return (cur_nimg + 1) / (warmup + 1)
    progress = min(1.0, (cur_nimg - warmup) / max(1, images - warmup))
    return 0.01 + 0.99 * (1 + math.cos(math.pi * progress)) / 2


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line; train, or measure what an earlier run wrote."""
    parser = parser_of(DetectorConfig, PRESETS, __doc__)
    parser.add_argument("--evaluate", action="store_true", help="measure OUT on test.csv, and stop")
    parser.add_argument("--yunet", metavar="FILE", help="ONNX to judge landmarks and labels by")
    args = parser.parse_args(argv)
    config = configure(DetectorConfig, PRESETS, args)
    print(json.dumps(asdict(config), indent=2))
    if args.evaluate:
        detector = EmbeddedDetector.from_file(Path(config.out) / WEIGHTS)
        reference = YuNetDetector(args.yunet) if args.yunet else None
        table = Path(config.data) / "test.csv"
        print(json.dumps(measure(detector, table, reference), indent=2))
    elif not args.dry_run:
        file = train(config)
        print(f"wrote {file}" if file else "stopped; run the same command to go on")


if __name__ == "__main__":
    main(sys.argv[1:])
