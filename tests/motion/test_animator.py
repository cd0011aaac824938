"""The animator on tiny networks: recording, driving at both sizes, options, packs and files."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from engine.errors import Cancelled, CheckpointError, ImageError, MediaError, OptionError
from engine.runtime import pick_runtime
from motion.animate_options import AnimateOptions
from motion.animator import Animator, transferred
from motion.framing import Square
from motion.media import Frame
from motion.pack import MotionCard, save_motion_pack
from tests.motion.fomm import tiny

RANDOM = np.random.default_rng(0)
SOURCE = RANDOM.integers(0, 256, (80, 80, 3), np.uint8)
LANDMARKS = np.array([[-0.4, -0.2], [0.4, -0.2], [0, 0.1], [-0.2, 0.5], [0.2, 0.5]])
CPU = pick_runtime("cpu", "float32")


def clip(count: int = 5) -> list[Frame]:
    return [
        Frame(i, i * Fraction(1001, 30000), RANDOM.integers(0, 256, (40, 64, 3), np.uint8))
        for i in range(count)
    ]


@pytest.fixture(scope="module")
def animator() -> Animator:
    return Animator(tiny.detector(), tiny.generator(), tiny.SIZE, CPU)


def test_one_frame_per_driving_frame_at_its_time(animator):
    frames = clip()
    found = list(animator(SOURCE, iter(frames)))
    assert [f.time for f in found] == [f.time for f in frames]
    assert [f.index for f in found] == list(range(5))
    assert all(f.rgb.shape == SOURCE.shape and f.rgb.dtype == np.uint8 for f in found)
    assert all(f.duration == Fraction(1001, 30000) for f in found)


def test_frames_stream(animator):
    """The first comes before the last is drawn, and the driving clip is read once."""
    motion = animator.record(iter(clip()))
    frames = animator(SOURCE, motion)
    first = next(frames)
    frames.close()
    assert first.index == 0


def test_batches_change_nothing(animator):
    motion = animator.record(clip())
    one = Animator(tiny.detector(), tiny.generator(), tiny.SIZE, CPU)
    one._batch = 1
    for a, b in zip(animator(SOURCE, motion), one(SOURCE, motion), strict=True):
        assert np.abs(a.rgb.astype(int) - b.rgb).max() <= 1


@pytest.mark.parametrize("size", [tiny.SIZE, 80, 96])
def test_motion_without_gain_gives_the_picture_itself(animator, size):
    """At full size, whatever the weights; the plain path draws what the network can."""
    source = RANDOM.integers(0, 256, (size, size, 3), np.uint8)
    motion = animator.record(clip(2))
    for frame in animator(source, motion, AnimateOptions(gain=0.0)):
        assert np.abs(frame.rgb.astype(int) - source).max() <= 1
    plain = next(animator(source, motion, AnimateOptions(gain=0.0, detail=False))).rgb
    assert plain.shape == (tiny.SIZE, tiny.SIZE, 3)


def test_driving_by_the_source_itself_absolutely_is_rest(animator):
    source = RANDOM.integers(0, 256, (tiny.SIZE, tiny.SIZE, 3), np.uint8)
    options = AnimateOptions(transfer="absolute", smoothing=0.0)
    frame = next(animator(source, [Frame(0, Fraction(0), source)], options))
    assert np.abs(frame.rgb.astype(int) - source).max() <= 1


def test_output_size(animator):
    motion = animator.record(clip(1))
    for detail in (True, False):
        options = AnimateOptions(output_size=64, detail=detail)
        assert next(animator(SOURCE, motion, options)).rgb.shape == (64, 64, 3)


def test_options_reach_the_keypoints(animator):
    motion = animator.record(clip())
    kp = animator.keypoints(np.stack([SOURCE[:32, :32]]))

    def keypoints(**options: object) -> torch.Tensor:
        return transferred(kp, motion, AnimateOptions(**options)).value

    plain = keypoints(adapt_scale=False, start="first")
    assert torch.allclose(plain[0], kp.value[0], atol=1e-6), "the first frame is the start"
    for other in ({"gain": 0.5}, {"transfer": "absolute"}, {"adapt_scale": True}):
        assert not torch.allclose(
            keypoints(**{"start": "first", "adapt_scale": False} | other), plain
        )
    best = keypoints(adapt_scale=False)
    at_rest = (best - kp.value).abs().amax(dim=(1, 2)) < 1e-6
    assert at_rest.sum() == 1, "exactly the best frame gives the source's own keypoints"


def test_regions(animator):
    motion = animator.record(clip(2))
    with pytest.raises(OptionError, match="no face was found in the picture to tell its eyes"):
        animator(SOURCE, motion, AnimateOptions(regions="mouth"))
    next(animator(SOURCE, motion, AnimateOptions(regions="pose")))
    next(animator(SOURCE, motion, AnimateOptions(regions="eyes,mouth"), LANDMARKS))
    with pytest.raises(OptionError, match="some of pose, eyes, mouth"):
        AnimateOptions(regions="nose")


def test_what_cannot_be_animated(animator):
    motion = animator.record(clip(1))
    with pytest.raises(ImageError, match="80 x 40; a square is accepted"):
        animator(SOURCE[:40], motion)
    with pytest.raises(ImageError, match="uint8"):
        animator(SOURCE.astype(np.float32), motion)
    with pytest.raises(MediaError, match="no frame"):
        animator(SOURCE, [])
    with pytest.raises(Cancelled):
        list(animator(SOURCE, motion, should_stop=lambda: True))


def test_motions_of_other_networks_are_refused(animator):
    other = Animator(tiny.detector(step=1), tiny.generator(), tiny.SIZE, CPU)
    with pytest.raises(MediaError, match="recorded with other networks"):
        animator(SOURCE, other.record(clip(1)))


def test_the_square_of_the_face_is_what_is_looked_at(animator):
    frames = clip(2)
    square = Square(10, 5, 30)
    motion = animator.record(frames, square)
    crop = square.cut(frames[0].rgb, tiny.SIZE)
    assert torch.allclose(
        motion.keypoints.value[0], animator.keypoints(crop[None]).value[0], atol=1e-5
    )
    assert motion.end == 2 * Fraction(1001, 30000), "a last frame without a length gets the others'"


def test_packs_and_public_files_give_the_same(animator, tmp_path):
    save_motion_pack(
        tmp_path / "tiny",
        MotionCard("tiny", tiny.SIZE),
        tiny.detector(),
        tiny.generator(),
        half=False,
    )
    torch.save(tiny.public_file(tiny.detector(), tiny.generator()), tmp_path / "vox-cpk.pth.tar")
    pack = Animator.load(tmp_path / "tiny", CPU)
    public = Animator.load(tmp_path / "vox-cpk.pth.tar", CPU)
    assert pack.detector_id == public.detector_id == animator.detector_id
    assert (pack.size, public.size) == (tiny.SIZE, 256)
    (tmp_path / "broken.pth.tar").write_bytes(b"<html>")
    with pytest.raises(CheckpointError, match="web page"):
        Animator.load(tmp_path / "broken.pth.tar", CPU)
