"""A photo's whole way, stage by stage, and as faces become more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from PIL import Image

from demo.benchmark.pictures import group_photo
from engine.benchmark.timing import Timing, interleaved, timed
from engine.image import read_photo, resize, to_tensor, write_png
from engine.pipeline import Stylizer
from engine.portraits import frame, read_detail

SIZES = {"12 megapixels": (4000, 3000), "640 px": (640, 480)}
STAGES = ("read", "detect", "align", "encode", "detail", "generate", "paste", "write")
PATH = STAGES[1:-1]  # without the files: what is done to a photo


def stage_rows(stylizer: Stylizer, repeat: int) -> list[dict[str, Any]]:
    """Return a row per photo and stage, from a JPEG on disk to a PNG on disk, and their sums."""
    made = []
    with TemporaryDirectory() as folder:
        for name, (width, height) in SIZES.items():
            file = Path(folder) / "photo.jpg"
            Image.fromarray(group_photo(width, height, 1)).save(file, quality=92)
            timings = time_stages(stylizer, file, repeat)
            made += [{"photo": name, "stage": s, **t.cells()} for s, t in timings.items()]
            whole = summed([timings[stage] for stage in PATH])
            made.append({"photo": name, "stage": "detect to paste", **whole.cells()})
    return made


def time_stages(stylizer: Stylizer, file: Path, repeat: int) -> dict[str, Timing]:
    """Take a photo of one person through all stages, `repeat` times after one that warms up."""
    runs: dict[str, list[tuple[float, float]]] = {stage: [] for stage in STAGES}
    for _ in range(1 + repeat):
        for stage, seconds in _one_photo(stylizer, file).items():
            runs[stage].append(seconds)
    return {stage: Timing(*zip(*seconds[1:], strict=True)) for stage, seconds in runs.items()}


def summed(timings: Sequence[Timing]) -> Timing:
    """Return the seconds of stages that follow each other, run by run."""
    wall = zip(*(t.wall for t in timings), strict=True)
    processor = zip(*(t.processor for t in timings), strict=True)
    return Timing(tuple(map(sum, wall)), tuple(map(sum, processor)))


def face_rows(stylizer: Stylizer, counts: Sequence[int], repeat: int) -> list[dict[str, Any]]:
    """Return a row per number of faces in a photo of 1920 x 1440, with how many were found."""
    photos = {count: group_photo(1920, 1440, count) for count in counts}
    calls = {str(count): partial(stylizer, rgb) for count, rgb in photos.items()}
    timings = interleaved(calls, repeat)
    return [
        {"faces": c, "found": len(stylizer.detect(rgb)), **timings[str(c)].cells()}
        for c, rgb in photos.items()
    ]


def _one_photo(stylizer: Stylizer, file: Path) -> dict[str, tuple[float, float]]:
    """The seconds of each stage for one photo, by the clock and of the processors."""
    base, space = stylizer.style.base, stylizer.card.encoder_space
    size = base.encoder_into(space).input_size
    seconds: dict[str, tuple[float, float]] = {}

    def stage(name: str, call: Callable[[], Any]) -> Any:
        returned: list[Any] = []
        seconds[name] = timed(lambda: returned.append(call()), stylizer.runtime.device)
        return returned[0]

    rgb = stage("read", lambda: read_photo(file).rgb)
    face = stage("detect", lambda: stylizer.detect(rgb))[0]
    aligned = stage("align", lambda: frame(rgb, face, base, max(size, base.generator.resolution)))
    image = to_tensor(resize(aligned.crop, size, size))
    stage("encode", lambda: base.attributes(base.encode(image, space)))
    portraits = stylizer.encode(rgb, [face])  # these stages once more, as a portrait
    stage("detail", lambda: read_detail(portraits, base))
    crop = stage("generate", lambda: stylizer.render(portraits[0]))
    picture = stage("paste", lambda: stylizer.paste(rgb, portraits, [crop]))
    stage("write", lambda: write_png(file.with_suffix(".png"), picture))
    return seconds
