"""One visitor's clip: its facts, the people in it, and the films made of it.

A `Reel` is an immutable value that the page keeps per visitor (`gr.State`), as a `Visit` is one of
a photo. Its files lie in a folder of its own with an unguessable name. They outlive the visit by
ten minutes, so that a page that is loaded again finds its unfinished film.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
import threading
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from demo import visit as visits
from demo.films import PREVIEW_SECONDS
from demo.live import duration
from demo.looks import changed_flags, command
from demo.statement import mark_film
from demo.studio import Studio
from demo.tiles import write_tiles
from engine.card import Card
from engine.errors import MediaError, OptionError
from engine.options import StylizeOptions
from engine.pipeline import Stylizer
from motion.framing import face_square
from motion.job import Job, estimate, num_frames
from motion.media import Clip, Limits, probe, read_frames
from motion.person import Look
from motion.temporal_options import TemporalOptions, frame_options
from motion.track import LONGEST_GAP, Tracker

# A page has many visitors and one queue: what is larger is for the command line.
WEB = Limits(bytes=200 * 2**20, pixels=4096 * 2304, seconds=600, streams=8, timeout_s=15)
MOST_SECONDS = 60  # of a film
RELOAD_SECONDS = 600
SAMPLE = 4  # frames drawn for the estimate
JOBS_KEPT = 3  # unfinished films; the next one forgets the oldest
CLIP = "clip"
_TICKET = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class Reel:
    """A clip: `source` as the page names it, `file` our own copy, `owner` whose it is now.

    `pace` is seconds of work per frame, 0 unknown.
    """

    source: str
    file: Path
    clip: Clip
    owner: str
    pace: float = 0.0

    @property
    def folder(self) -> Path:
        """Where everything about the clip is kept."""
        return self.file.parent

    @property
    def ticket(self) -> str:
        """What a browser shows to have the clip back after a reload."""
        return self.folder.name

    @property
    def seconds(self) -> float:
        """How long the clip is; where it does not say, the most a film may be."""
        return self.clip.seconds or MOST_SECONDS


@dataclass(frozen=True)
class Wish:
    """What film to make: all choices of a visitor; `people` names a style per person, or None."""

    style: str
    options: StylizeOptions
    temporal: TemporalOptions = field(default_factory=TemporalOptions)
    start: float = 0.0
    end: float | None = None
    people: Mapping[int, str | None] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The same for the same wish: an unfinished film of it goes on."""
        values = {**vars(self), "options": self.options.to_dict(), "people": list(self.people)}
        values |= {"temporal": self.temporal.to_dict(), "styles": list(self.people.values())}
        return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:16]


def open_reel(source: str, shelf: Path, ticket: str = "") -> Reel:
    """Look at an uploaded clip and keep it in a new folder in `shelf`, or in that of `ticket`.

    Raises MediaError for a file that is no clip, or more than `WEB` accepts.
    """
    path, owner = Path(source), secrets.token_hex(16)
    if ticket and path.parent == shelf / ticket:  # after a reload
        reel = Reel(source, path, probe(path, WEB), owner)
    else:
        clip = probe(path, WEB)
        folder = shelf / secrets.token_hex(16)
        folder.mkdir(parents=True, mode=0o700)
        file = folder / f"{CLIP}{re.sub(r'[^.a-z0-9]', '', path.suffix.lower())[:6]}"
        _link(path, file)
        reel = Reel(source, file, clip, owner)
    (reel.folder / "owner").write_text(owner)
    return reel


def left_behind(shelf: Path, ticket: str) -> Path | None:
    """Return the clip in the folder of a ticket, if it is one and something was begun with it."""
    if not _TICKET.fullmatch(ticket or "") or not (shelf / ticket / "wish.json").is_file():
        return None
    return next((shelf / ticket).glob(f"{CLIP}*"), None)


def close_reel(reel: Reel | None) -> None:
    """Delete the files of a clip; nothing happens where there is none."""
    if reel is not None:
        shutil.rmtree(reel.folder, ignore_errors=True)


def leave_reel(reel: Reel | None) -> None:
    """Delete the files of a clip in ten minutes, unless its visitor comes back to it."""
    if reel is not None:
        timer = threading.Timer(RELOAD_SECONDS, _close_if_left, [reel])
        timer.daemon = True
        timer.start()


def _close_if_left(reel: Reel) -> None:
    with suppress(OSError):
        if (reel.folder / "owner").read_text() == reel.owner:
            close_reel(reel)


def facts(clip: Clip) -> str:
    """Return what a visitor should know of a clip, in one line."""
    parts = [f"{clip.width} × {clip.height}"]
    parts += [f"{clip.seconds:.1f} s"] if clip.seconds else ["length unknown"]
    parts += [f"{float(clip.rate):.4g} frames a second"] if clip.rate else []
    return " · ".join([*parts, "with sound" if clip.sounds else "no sound", *clip.notes])


def told(reel: Reel, start: float, end: float) -> str:
    """Return how long the film is that begins and ends there, and how long it takes."""
    seconds = max(0.0, min(float(end), reel.seconds) - float(start))
    frames = round(seconds * float(reel.clip.rate))
    line = f"A film of {seconds:.1f} s"
    if reel.pace and frames:
        line += f": {frames} frames, about {duration(frames * reel.pace)} of work."
    return line


def command_of(card: Card, wish: Wish) -> str:
    """Return the command line that makes the same film."""
    people = wish.people.items()
    words = [command(card, wish.options, "python -m demo.video clip.mp4 film.mp4")]
    words += changed_flags(wish.temporal, TemporalOptions())
    words += [f"--start {wish.start:g}"] if wish.start else []
    words += [] if wish.end is None else [f"--end {wish.end:g}"]
    return " ".join([*words, *(f"--person {n}={style or 'none'}" for n, style in people)])


def people_in(reel: Reel, stylizer: Stylizer, start: float) -> dict[int, str]:
    """Return who is seen in the second after `start`: a file with a picture, by number.

    Numbers are those a film from `start` on gives them, as far as some of its frames tell.
    """
    tracker, count, best = Tracker(), Counter(), {}
    with read_frames(reel.file, WEB, start, start + PREVIEW_SECONDS) as frames:
        for frame in frames:
            if frame.index % LONGEST_GAP:
                continue
            for number, face in tracker.update(frame.index, stylizer.detect(frame.rgb)).items():
                count[number] += 1
                if number not in best or face.area > best[number][0]:
                    square = face_square(face.box, frame.rgb)
                    best[number] = (face.area, square.cut(frame.rgb, visits.THUMBNAIL_SIDE))
    least = min(2, max(count.values(), default=0))
    seen = [number for number in sorted(best) if count[number] >= least]
    return dict(zip(seen, write_tiles(reel.folder, (best[n][1] for n in seen)), strict=True))


def pace_of(reel: Reel, stylizer: Stylizer) -> float:
    """Return about how many seconds of work a frame takes, from drawing a few; StylizeError."""
    job = Job(reel.file, reel.file, frame_options(stylizer.card), limits=WEB)
    return estimate(job, stylizer, SAMPLE) / max(1, num_frames(job, reel.clip))


def job_of(reel: Reel, wish: Wish, studio: Studio) -> Job:
    """Return the job that makes a film; the same wish goes on where it was stopped. OptionError."""
    end = reel.seconds if wish.end is None else wish.end
    if end - wish.start > MOST_SECONDS:
        raise OptionError(
            f"the film would have {end - wish.start:.0f} s; up to {MOST_SECONDS} s are made here: "
            "choose a later start or an earlier end, or use `python -m demo.video`"
        )
    folder = reel.folder / "jobs" / wish.key
    folder.mkdir(parents=True, exist_ok=True)
    os.utime(folder)
    for old in sorted(folder.parent.iterdir(), key=lambda p: p.stat().st_mtime_ns)[:-JOBS_KEPT]:
        shutil.rmtree(old, ignore_errors=True)
    name = f"{_stem(Path(reel.source))}-{wish.style}.mp4"
    people = {number: _look(studio, wish, style) for number, style in wish.people.items()}
    span = {"start": wish.start, "end": wish.end}
    options = {"options": wish.options, "temporal": wish.temporal, "people": people}
    return Job(reel.file, folder / name, **options, **span, limits=WEB)


def publish(film: Path, films: Path, original: str | Path, made: str | None) -> Path:
    """Give a finished film to the page, under a name nobody can guess.

    `original` and `made` as of `write_picture`; None where nothing was drawn.
    """
    films.mkdir(exist_ok=True)
    path = visits.new_file(films, film.name)
    if made:
        mark_film(film, made, original)
    os.replace(film, path)
    return path


def keep_wish(reel: Reel, values: Mapping[str, Any]) -> None:
    """Write down the choices a film was begun with, for a page that is loaded again."""
    (reel.folder / "wish.json").write_text(json.dumps(values))


def kept_wish(file: Path) -> dict[str, Any]:
    """Return the choices kept beside the clip `file`."""
    return json.loads((file.parent / "wish.json").read_text())


def _look(studio: Studio, wish: Wish, style: str | None) -> Look | None:
    if style is None:
        return None
    stylizer = studio.stylizer(style, is_long=True)
    return Look(stylizer, stylizer.card.beside(wish.options))


def _stem(path: Path) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", path.stem).strip("-")[:40] or "clip"


def _link(source: Path, target: Path) -> None:
    """Keep a file of our own: the upload may be swept away while a film is made of it."""
    try:
        os.link(source, target)
    except OSError:
        try:
            shutil.copyfile(source, target)
        except OSError as error:
            raise MediaError(
                f"the clip cannot be kept: {error.strerror}; try it again later"
            ) from error
