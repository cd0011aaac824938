"""`Animator`: a picture, driven by the motion of somebody else.

    animator = Animator.load()                                # a motion pack, or *-cpk.pth.tar
    motion = animator.record(read_frames("driving.mp4"))      # keypoints, kept or saved as template
    for frame in animator(picture, motion, AnimateOptions()): # one frame in memory at a time
        writer.write(frame)

Everything that depends on the whole clip, the best starting frame and smoothing without delay, is
decided on its keypoints, which are small. So frames stream in once and out once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from engine.checkpoints import read
from engine.errors import Cancelled, CheckpointError, ImageError, MediaError, OptionError
from engine.image import resize, to_tensor, to_uint8
from engine.runtime import Runtime, memory_guard, pick_runtime
from motion.animate_options import REGIONS, AnimateOptions
from motion.detail import movement, redraw
from motion.fomm import (
    Generator,
    KeypointDetector,
    Keypoints,
    Looked,
    Prediction,
    generator_from_state,
    keypoints_from_state,
)
from motion.framing import Square, central_square
from motion.media import Frame
from motion.pack import check_pair, find_motion_pack, load_motion_pack
from motion.recording import Motion
from motion.transfer import Shares, best_start, expression_shares, relative

PUBLIC_SIZE = 256  # of the networks in *-cpk.pth.tar
CPU_BATCH, GPU_BATCH = 2, 16
USUAL_DURATION = Fraction(1, 25)

ShouldStop = Callable[[], bool]


class Animator:
    """Both networks of the first order motion model, ready to use. Remembers nothing of a picture.

    Args:
        detector, generator: a pair, in float32.
        size: side in pixels of the pictures they were trained on.
        runtime: where to compute; None: decided here.
    """

    def __init__(
        self,
        detector: KeypointDetector,
        generator: Generator,
        size: int,
        runtime: Runtime | None = None,
    ) -> None:
        check_pair(detector, generator)
        self.runtime = runtime or pick_runtime()
        self.size, self.detector_id = size, weights_id(detector)
        self.detector = detector.to(self.runtime.device)
        self.generator = generator.to(self.runtime.device)
        self._batch = CPU_BATCH if self.runtime.device.type == "cpu" else GPU_BATCH

    @classmethod
    def load(cls, pack: str | Path | None = None, runtime: Runtime | None = None) -> Animator:
        """Load a motion pack by name or folder, or a public `*-cpk.pth.tar`; None: what is there.

        Raises:
            PackError: no such pack, no motion weights at all (it says how to get them), or altered.
            CheckpointError: a file of weights that is none of these networks.
        """
        if pack is not None and Path(pack).is_file():
            return cls(*read_networks(pack), PUBLIC_SIZE, runtime)
        found = load_motion_pack(find_motion_pack(None if pack is None else str(pack)))
        return cls(found.detector, found.generator, found.card.size, runtime)

    def record(
        self,
        frames: Iterable[Frame],
        square: Square | None = None,
        should_stop: ShouldStop | None = None,
    ) -> Motion:
        """Find the keypoints of a driving clip, frame by frame; frames are not kept.

        Args:
            frames: of the clip, in order.
            square: which part of them holds the face; None: their central square.
            should_stop: asked before each batch; True raises Cancelled.

        Raises:
            MediaError: there is no frame.
        """
        found, times, end, frames = [], [], Fraction(0), iter(frames)
        while batch := list(islice(frames, self._batch)):
            _stop_if_asked(should_stop)
            square = square or central_square(batch[0].rgb)
            found.append(self.keypoints(np.stack([square.cut(f.rgb, self.size) for f in batch])))
            times += [frame.time for frame in batch]
            end = batch[-1].time + batch[-1].duration
        if not found:
            raise MediaError("the driving clip has no frame; choose another clip")
        if end <= times[-1]:
            end = times[-1] + (times[-1] - times[-2] if len(times) > 1 else USUAL_DURATION)
        return Motion(Keypoints.cat(found), tuple(times), end, self.size, self.detector_id)

    def keypoints(self, crops: np.ndarray) -> Keypoints:
        """Find the keypoints of crops uint8 [N, S, S, 3], S the networks' size; on the CPU."""
        with memory_guard(self.runtime), torch.inference_mode():
            kp = self.detector(self._inside(crops))
            return Keypoints(kp.value.cpu(), kp.jacobian.cpu())

    def __call__(
        self,
        source: np.ndarray,
        driving: Motion | Iterable[Frame],
        options: AnimateOptions | None = None,
        landmarks: np.ndarray | None = None,
        should_stop: ShouldStop | None = None,
    ) -> Iterator[Frame]:
        """Drive a picture; yields one frame per driving frame, at its time.

        Args:
            source: uint8 [R, R, 3], a face with some room around it (`motion.framing`).
            driving: a recorded motion, or frames whose central square is the face.
            options: how; None: the defaults.
            landmarks: [5, 2] of the source's face as (x, y) in [-1, 1], needed to tell eyes and
                mouth apart.

        Raises:
            ImageError: the source is no square.
            MediaError: the motion was recorded with other networks.
            OptionError: eyes or mouth are wanted and there are no landmarks.
        """
        options = options or AnimateOptions()
        _check_square(source)
        motion = driving if isinstance(driving, Motion) else self.record(driving)
        self._check_motion(motion)
        kp_source = self.keypoints(resize(source, self.size, self.size)[None])
        shares = _shares(kp_source, landmarks, options)
        motion = motion.smoothed(options.smoothing)
        kp_driving = transferred(kp_source, motion, options, shares)
        return self._frames(
            source, kp_source, replace(motion, keypoints=kp_driving), options, should_stop
        )

    def _frames(
        self,
        source: np.ndarray,
        kp_source: Keypoints,
        motion: Motion,
        options: AnimateOptions,
        should_stop: ShouldStop | None,
    ) -> Iterator[Frame]:
        own = source.shape[0] if options.detail else self.size
        size = options.output_size or own
        picture = resize(source, size, size)
        with self._computing():
            looked = self.generator.look(self._inside(resize(source, self.size, self.size)[None]))
            rest = self._drawn(looked, kp_source, kp_source)
        ends = (*motion.times[1:], motion.end)
        for start in range(0, len(motion), self._batch):
            _stop_if_asked(should_stop)
            with self._computing():
                kp = motion.keypoints[start : start + self._batch]
                drawn = self._drawn(looked, kp_source, kp)
                pictures = to_uint8(drawn.image.float() * 2 - 1)
                moved = [self._moved(drawn, rest, i) for i in range(len(kp))]
            for index, (rgb, move) in enumerate(zip(pictures, moved, strict=True), start):
                rgb = redraw(picture, rgb, move) if options.detail else resize(rgb, size, size)
                time = motion.times[index]
                yield Frame(index, time, rgb, duration=ends[index] - time)

    def _drawn(self, looked: Looked, kp_source: Keypoints, kp: Keypoints) -> Prediction:
        device = self.runtime.device
        kp_source, kp = (
            Keypoints(k.value.to(device), k.jacobian.to(device)) for k in (kp_source, kp)
        )
        return self.generator.draw(looked.expand(len(kp)), kp_source, kp)

    def _moved(self, drawn: Prediction, rest: Prediction, index: int):
        align_corners = self.generator.dense_motion.align_corners
        return movement(drawn.flow[index : index + 1], rest.flow, align_corners=align_corners)

    def _inside(self, crops: np.ndarray) -> Tensor:
        """uint8 [N, S, S, 3] -> [N, 3, S, S] in [0, 1], as these networks want it."""
        return (to_tensor(crops).to(self.runtime.device) + 1) / 2

    @contextmanager
    def _computing(self) -> Iterator[None]:
        """Inference in the runtime's number format; positions stay float32 in the networks."""
        kind = {"device_type": self.runtime.device.type, "dtype": self.runtime.dtype}
        is_narrow = self.runtime.dtype != torch.float32
        with memory_guard(self.runtime), torch.inference_mode():
            with torch.autocast(**kind, enabled=is_narrow):
                yield

    def _check_motion(self, motion: Motion) -> None:
        if motion.detector != self.detector_id:
            raise MediaError(
                f"this motion was recorded with other networks ({motion.detector[:12]}...) than "
                f"these ({self.detector_id[:12]}...); keypoints of one mean nothing to the other: "
                "record it again from the clip, or name its motion pack with --motion"
            )


def read_networks(path: str | Path) -> tuple[KeypointDetector, Generator]:
    """Read both networks of a public `*-cpk.pth.tar`; raises CheckpointError."""
    parts = read(path, "fomm").parts
    try:
        return (
            keypoints_from_state(parts["keypoints"]),
            generator_from_state(parts["motion_generator"]),
        )
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error


def weights_id(network: nn.Module) -> str:
    """Return a hash of a network's weights, the same whatever file they came in; hex digits."""
    state = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        if not name.endswith("num_batches_tracked"):
            state.update(name.encode())
            state.update(value.detach().cpu().float().contiguous().numpy().tobytes())
    return state.hexdigest()


def transferred(
    kp_source: Keypoints, motion: Motion, options: AnimateOptions, shares: Shares | None = None
) -> Keypoints:
    """Return the keypoints [T, K, ...] of the driven picture for a whole motion."""
    kp_start, scale = kp_source, 1.0
    if options.transfer == "relative":
        index = best_start(kp_source, motion.keypoints) if options.start == "best" else 0
        kp_start = motion.keypoints[index : index + 1]
        scale = None if options.adapt_scale else 1.0
    return relative(
        kp_source, kp_start, motion.keypoints, scale=scale, gain=options.gain, shares=shares
    )


def _shares(
    kp_source: Keypoints, landmarks: np.ndarray | None, options: AnimateOptions
) -> Shares | None:
    regions = options.list_regions()
    if set(regions) == set(REGIONS):
        return None
    expression = kp_source.value.new_zeros(kp_source.value.shape[1])
    if set(regions) - {"pose"}:
        if landmarks is None:
            raise OptionError(
                f"regions is {options.regions!r}, and no face was found in the picture to tell its "
                "eyes from its mouth; all and pose are accepted then: change --regions"
            )
        points = torch.from_numpy(np.asarray(landmarks, np.float32))
        expression = expression_shares(kp_source, points, regions)
    return Shares(float("pose" in regions), expression)


def _check_square(source: np.ndarray) -> None:
    if source.dtype != np.uint8 or source.ndim != 3 or source.shape[2] != 3:
        raise ImageError(
            f"the picture is {source.dtype} {list(source.shape)}; uint8 RGB [R, R, 3] is accepted"
        )
    if source.shape[0] != source.shape[1]:
        raise ImageError(
            f"the picture is {source.shape[1]} x {source.shape[0]}; a square is accepted: cut the "
            "face out with motion.framing.face_square"
        )


def _stop_if_asked(should_stop: ShouldStop | None) -> None:
    if should_stop is not None and should_stop():
        raise Cancelled("stopped; nothing was kept of the animation")
