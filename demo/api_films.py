"""What the endpoints `stylize_video` and `animate` do: a clip in, an MP4 with its sound back."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

from gradio.utils import get_upload_folder

from demo.animating import Animation
from demo.api_pictures import ShouldStop, never
from demo.batch import new_folder
from demo.reels import MOST_SECONDS, WEB
from demo.statement import mark_film
from demo.studio import Studio
from engine.errors import Cancelled, MediaError, OptionError, StylizeError
from engine.image import read_photo
from engine.options import StylizeOptions
from engine.provenance import COMPOSITE, GENERATED
from motion.animate_options import AnimateOptions
from motion.job import Job, run
from motion.media import probe
from motion.temporal_options import TemporalOptions

CLIPS = ("clip", "driving")  # names of arguments that are films
CLIP = f"an MP4, MOV, WebM or MKV file of at most {WEB.bytes >> 20} MB and {WEB.seconds:.0f} s."
Argument = tuple[str, Any, str]


def film_rows(photo: Argument, style: Argument) -> tuple[tuple[Any, ...], ...]:
    """Return the endpoints that make films, as `demo.api.Endpoint` wants them."""
    clip = ("clip", dict, CLIP)
    start = ("start", 0.0, "second of the clip where the film begins.")
    end = ("end", 0.0, f"second where it ends, 0: at the clip's; up to {MOST_SECONDS} s are made.")
    driving = ("driving", dict, f"a face that moves: {CLIP}")
    drawn = ("style", "", "name of the style the photo is drawn in; left out: it stays a photo.")
    film = "The film, an MP4 with the sound of the clip."
    own = (clip, style, start, end)
    both = (StylizeOptions, TemporalOptions)
    moving = (photo, driving, drawn)
    return (
        ("stylize_video", "Draw the people in a clip.", film, own, stylize_video, "film", both),
        ("animate", "Drive a portrait.", film, moving, animate, "film", (AnimateOptions,)),
    )


def stylize_video(
    studio: Studio,
    source: str | None,
    style: str,
    start: float,
    end: float,
    options: StylizeOptions,
    temporal: TemporalOptions,
    *,
    should_stop: ShouldStop = never,
) -> str:
    """Stylize a clip from `start` to `end` seconds (0: to its end), and return the path of the MP4.

    Raises StylizeError, also where there is no face in the clip.
    """
    clip, start, end = probe(_given(source, "clip"), WEB), _second(start=start), _second(end=end)
    last = end or clip.seconds
    if last - start > MOST_SECONDS:
        raise OptionError(
            f"the film would have {last - start:.0f} s; up to {MOST_SECONDS} s are made here: "
            "change start or end"
        )
    stylizer, result = studio.stylizer(style, is_long=True), _new_file(f"stylized-{style}.mp4")
    job = Job(clip.path, result, options, temporal, start=start, end=end or None, limits=WEB)
    outcome = run(job, stylizer, lambda step: None, should_stop)
    if not outcome.is_complete:
        shutil.rmtree(result.parent, ignore_errors=True)
        raise Cancelled("the film was called off")
    if outcome.num_untouched == outcome.frames:
        result.unlink()
        raise StylizeError(
            f"no face found in {clip.path.name}; a face of at least 24 px is needed: choose "
            "another part of the clip with start and end"
        )
    mark_film(result, COMPOSITE, clip.path)
    return str(result)


def animate(
    studio: Studio,
    photo: str | None,
    driving: str | None,
    style: str,
    options: AnimateOptions,
    *,
    should_stop: ShouldStop = never,
) -> str:
    """Drive a photo, drawn in a style or as it is, by a clip; return the path of the MP4.

    Raises StylizeError, also where there are no motion weights.
    """
    rgb = read_photo(_given(photo, "photo")).rgb
    clip = probe(_given(driving, "driving clip"), WEB)
    animator = studio.animator()
    stylizer = studio.stylizer(style or studio.default_style, is_long=True)
    faces, picture = stylizer.detect(rgb), rgb
    if style:
        picture = stylizer(rgb, StylizeOptions(faces="largest"), faces=faces)
    result = _new_file(f"animated-{style or 'photo'}.mp4")
    limits = {"limits": WEB, "most_seconds": MOST_SECONDS}
    animation = Animation(animator, options, stylizer.detect, should_stop, **limits)
    for _ in animation.make(picture, faces, rgb, clip, result):
        pass  # nobody watches
    mark_film(result, GENERATED, photo)
    return str(result)


def _given(path: str | None, what: str) -> str:
    if path is None:
        raise MediaError(f"no {what} was sent; send one as a file")
    return path


def _second(**named: Any) -> float:
    """Read one named argument as seconds; clients may send anything."""
    ((name, value),) = named.items()
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = math.nan
    if not math.isfinite(seconds) or seconds < 0:
        raise OptionError(
            f"{name} is {value!r}; a number of seconds, 0 or more, is accepted: change {name}"
        )
    return seconds


def _new_file(name: str) -> Path:
    return new_folder(Path(get_upload_folder()) / "api") / name
