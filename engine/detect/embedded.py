"""The detector that ships with the project: our own network, trained by train.detector."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from engine.detect.face import (
    MIN_PADDED,
    MIRRORED,
    Face,
    Proposals,
    cut,
    shrunk,
    turned_back,
    upright_matrix,
)
from engine.errors import DetectorError
from engine.image import to_tensor
from engine.models.detector import FaceNetwork, cell_grid, decode, detector_from_state

EMBEDDED_WEIGHTS = Path(__file__).parents[1] / "packs" / "base" / "detector.safetensors"
CROP = 96  # pixels of a side: what the second look was trained on
PROPOSED = 0.6  # of the threshold: the score that earns a second look


class EmbeddedDetector:
    """Our own network at several sizes of the photo, and turned when it is not sure.

    The photo is searched at a long side of 640 (faces of 14 to about 200 pixels there), of 160, and
    of 96 for faces that fill the picture. Only if nothing, or nothing above `TINY`, was found,
    a larger photo is searched at 1280 and then at up to 2560 pixels. Found faces are looked at
    again, upright and at one size: precise landmarks, and what only resembled a face is dropped.
    A face upside down may weakly pass for an upright one, so what is below `SURE` must also beat
    what is found in the photo turned by 90, 180 and 270 degrees. What is `FAR` times smaller than
    the largest face must be sure: it is somebody far behind, or a badge on a lapel.
    """

    SIZES = (640, 160, 96)
    FINER = (1280, 2560)
    SURE = 0.8  # of the best score
    FAR = 6
    TINY = 40  # pixels of a face in the last size searched

    def __init__(self, network: FaceNetwork, *, threshold: float = 0.5):
        """Use `network` as it is, on its device; `threshold` is the lowest score of a face."""
        self.network, self.threshold = network, threshold

    @classmethod
    def from_file(cls, path: str | Path = EMBEDDED_WEIGHTS) -> "EmbeddedDetector":
        """Read the weights of a safetensors file.

        Raises:
            DetectorError: the file is missing, damaged, or no detector of ours.
        """
        try:
            return cls(detector_from_state(load_file(path)))
        except (OSError, SafetensorError, KeyError, RuntimeError, ValueError, TypeError) as error:
            raise DetectorError(
                f"{path} does not hold our face detector ({type(error).__name__}: {error}); "
                "expected what train.detector writes: restore the file from the project"
            ) from error

    def __call__(self, rgb: np.ndarray) -> list[Face]:
        """Return the faces of uint8 [H, W, 3], largest first; [] if there is none."""
        height, width = rgb.shape[:2]
        tries = [self._search(rgb)]
        for turns in (1, 3, 2) if _best_score(tries[0]) < self.SURE else ():
            found = self._look(np.ascontiguousarray(np.rot90(rgb, turns)), self.SIZES)
            tries.append([turned_back(face, turns, height, width) for face in found])
        faces = max(tries, key=_best_score)
        least = max((face.area for face in faces), default=0.0) / self.FAR**2
        return [face for face in faces if face.area >= least or face.score >= self.SURE]

    def again(self, rgb: np.ndarray, faces: Sequence[Face]) -> list[Face]:
        """Look at faces of uint8 [H, W, 3] where they are thought to be, as in the next frame.

        A tenth of the time of a search, and it finds nobody new. Returns those that still are
        faces, with the landmarks and scores of now; boxes stay as they are given.
        """
        again = self._second_look(rgb, [replace(face, score=1.0) for face in faces])
        return [face for face in again if face.score >= self.threshold]

    def _search(self, rgb: np.ndarray) -> list[Face]:
        long_side = max(rgb.shape[:2])
        faces, last = self._look(rgb, self.SIZES), self.SIZES[0]
        for size in self.FINER:
            largest = max((face.area**0.5 for face in faces), default=0.0)
            if last >= long_side or largest * last / long_side > self.TINY:
                break
            faces, last = self._look(rgb, (*self.SIZES, *self.FINER[:1], size)), size
        return faces

    def _look(self, rgb: np.ndarray, sizes: tuple[int, ...]) -> list[Face]:
        """Search at each size that is not an enlargement, then take the second look."""
        long_side = max(rgb.shape[:2])
        sizes = sorted({min(size, long_side) for size in sizes}, reverse=True)
        parts, small, scale = [], rgb, np.ones(2, np.float32)
        for size in sizes:  # each is made of the one before: the photo is read once
            small, factors = shrunk(small, size)
            scale = scale * factors
            parts.append(self._propose(small, scale))
        joined = [np.concatenate(part) for part in zip(*parts, strict=True)]
        faces = self._second_look(rgb, Proposals(*joined).faces())
        return [face for face in faces if face.score >= self.threshold]

    def _propose(
        self, small: np.ndarray, scale: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What the network proposes for a photo shrunk by `scale`: scores, boxes, points of it."""
        height, width = (-(-side // MIN_PADDED) * MIN_PADDED for side in small.shape[:2])
        padded = np.full((height, width, 3), 128, np.uint8)
        padded[: small.shape[0], : small.shape[1]] = small
        with torch.inference_mode():
            found = decode(self.network(self._tensor(padded)).cpu(), cell_grid(height, width))
        keep = found.scores[0] >= self.threshold * PROPOSED
        boxes = found.boxes[0, keep].numpy().reshape(-1, 2, 2)
        boxes, landmarks = (
            (points + 0.5) / scale - 0.5 for points in (boxes, found.landmarks[0, keep].numpy())
        )
        return found.scores[0, keep].numpy(), boxes.reshape(-1, 4), landmarks

    def _tensor(self, rgb: np.ndarray) -> torch.Tensor:
        like = self.network.cells.score.weight
        return to_tensor(rgb, torch.channels_last).to(like)

    def _second_look(self, rgb: np.ndarray, faces: list[Face]) -> list[Face]:
        """Set each face upright and look again: precise landmarks, and is it a face?"""
        if not faces:
            return []
        matrices = [upright_matrix(face.landmarks, CROP) for face in faces]
        crops = self._tensor(np.stack([cut(rgb, m, CROP) for m in matrices]))
        with torch.inference_mode():
            # The mean with the mirror image's answer is steadier: 3.7 instead of 3.9 % of the
            # eye distance from the consensus of train.face_metrics.
            points, logits = self.network.points(torch.cat([crops, crops.flip(3)]))
        seen, mirrored = points.cpu().numpy().reshape(2, -1, 5, 2)
        points = (seen + [CROP - 1, 0] + mirrored[:, MIRRORED] * [-1, 1]) / 2
        scores = logits.view(2, -1).mean(0).sigmoid().tolist()
        looks = zip(faces, matrices, points, scores, strict=True)
        return [_steadied(*look) for look in looks]


def _best_score(faces: list[Face]) -> float:
    return max((face.score for face in faces), default=0.0)


def _steadied(face: Face, photo_to_crop: np.ndarray, points: np.ndarray, score: float) -> Face:
    """The face with the landmarks of its upright crop mapped back, and the lower of two scores."""
    turn, shift = photo_to_crop[:, :2], photo_to_crop[:, 2]
    landmarks = (points - shift) @ np.linalg.inv(turn).T
    return replace(face, landmarks=landmarks.astype(np.float32), score=min(face.score, score))
