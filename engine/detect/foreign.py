"""Detectors of others: YuNet from a file, 68 points from the face-alignment package."""

import importlib
import importlib.util
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from engine.detect.face import MIN_PADDED, Detector, Face, Proposals, shrunk, turned_back
from engine.errors import DetectorError

FACE_ALIGNMENT_WEIGHTS = "2DFAN4-11f355bf06.pth.tar"


class YuNetDetector:
    """YuNet through OpenCV, from an ONNX file that the user names."""

    SIZES = (640, 320)  # long sides searched
    LARGE = 128  # pixels; a face larger than this is located better at the smaller size

    def __init__(self, path: str | Path, *, threshold: float = 0.7):
        """Load the file.

        Raises:
            DetectorError: it is missing, or OpenCV cannot read it.
        """
        path = Path(path)
        remedy = "name a face_detection_yunet / yunet_n ONNX file, or leave the embedded detector"
        if not path.is_file():
            raise DetectorError(f"no YuNet weights at {path}: {remedy}")
        try:
            self._net = cv2.FaceDetectorYN.create(str(path), "", (320, 320), threshold)
        except cv2.error as error:
            raise DetectorError(f"OpenCV cannot read {path} ({error.err}): {remedy}") from error
        self._lock = threading.Lock()  # the input size is state of the OpenCV object

    def __call__(self, rgb: np.ndarray) -> list[Face]:
        """Return the faces of uint8 [H, W, 3], largest first; [] if there is none."""
        sizes = sorted({min(size, max(rgb.shape[:2])) for size in self.SIZES})
        limits = [np.inf, *[self.LARGE] * (len(sizes) - 1)]
        with self._lock:
            parts = [self._propose(rgb, *search) for search in zip(sizes, limits, strict=True)]
        return Proposals(*(np.concatenate(part) for part in zip(*parts, strict=True))).faces()

    def _propose(
        self, rgb: np.ndarray, size: int, limit: float
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Faces of up to `limit` pixels in the photo shrunk to a long side of `size`."""
        small, scale = shrunk(rgb, size)
        missing = [(0, max(0, MIN_PADDED - side)) for side in small.shape[:2]]
        bgr = np.ascontiguousarray(np.pad(small, (*missing, (0, 0)))[..., ::-1])
        self._net.setInputSize(bgr.shape[1::-1])
        rows = self._net.detect(bgr)[1]
        rows = np.zeros((0, 15), np.float32) if rows is None else rows
        rows = rows[rows[:, 2:4].max(1) <= limit]
        boxes = np.concatenate([rows[:, :2], rows[:, :2] + rows[:, 2:4]], 1).reshape(-1, 2, 2)
        points = rows[:, 4:14].reshape(-1, 5, 2)
        boxes, points = ((p + 0.5) / scale - 0.5 for p in (boxes, points))
        return rows[:, 14], boxes.reshape(-1, 4), points


class FaceAlignmentDetector:
    """68 landmarks by the face-alignment package (Bulat & Tzimiropoulos 2017) in found boxes."""

    def __init__(self, finder: Detector, *, device: str = "cpu", allow_download: bool = False):
        """Load the landmark network; `finder` supplies the boxes.

        Raises:
            DetectorError: the package or its weights are missing; nothing is downloaded unless
                `allow_download`.
        """
        if not self.installed():
            raise DetectorError("68 landmarks need a package: pip install face-alignment")
        if not (allow_download or self.available()):
            raise DetectorError(
                f"the weights of the 68 landmarks are not at {self.weights()}: "
                "allow the download (96 MB), or leave the embedded detector"
            )
        package = importlib.import_module("face_alignment")
        self._finder = finder
        # "folder" is the package's detector without weights: the boxes come from `finder`.
        self._network: Any = package.FaceAlignment(
            package.LandmarksType.TWO_D,
            device=device,
            flip_input=False,
            face_detector="folder",
            compile=False,
        )

    @staticmethod
    def installed() -> bool:
        """Whether the package can be imported; it is not imported to tell."""
        return importlib.util.find_spec("face_alignment") is not None

    @staticmethod
    def weights() -> Path:
        """Where the package keeps its landmark weights: torch hub's cache."""
        return Path(torch.hub.get_dir()) / "checkpoints" / FACE_ALIGNMENT_WEIGHTS

    @classmethod
    def available(cls) -> bool:
        """Whether package and weights are on this machine, so that nothing is downloaded."""
        return cls.installed() and cls.weights().is_file()

    def __call__(self, rgb: np.ndarray) -> list[Face]:
        """Return the faces of uint8 [H, W, 3], largest first; [] if there is none."""
        return [self._with_68(rgb, face) for face in self._finder(rgb)]

    def _with_68(self, rgb: np.ndarray, face: Face) -> Face:
        """Its network knows upright faces: turn the photo by quarters until this one is."""
        height, width = rgb.shape[:2]
        across = face.landmarks[1] - face.landmarks[0]
        turns = round(np.degrees(np.arctan2(across[1], across[0])) / 90) % 4
        turned = np.ascontiguousarray(np.rot90(rgb, turns))
        sides = (width, height) if turns % 2 else (height, width)
        box = turned_back(face, -turns % 4, *sides).box
        points = self._network.get_landmarks_from_image(turned, [[*box.tolist(), face.score]])[0]
        found = replace(face, landmarks=np.asarray(points, np.float32)[:, :2], box=box)
        return turned_back(found, turns, height, width)
