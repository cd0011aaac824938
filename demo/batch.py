"""Many photos in one go: each is drawn or said to have failed, and all go into one zip."""

from __future__ import annotations

import re
import secrets
import shutil
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from demo.jobs import Job
from demo.photo import stylize_file
from engine.errors import ImageError, OptionError, StylizeError
from engine.options import StylizeOptions
from engine.pipeline import Stylizer

MOST_PHOTOS, MOST_BYTES = 50, 300 << 20
KEPT_SECONDS = 3600
UNCHANGED = "no face found; it is in the zip as it was"


@dataclass(frozen=True)
class Outcome:
    """What became of one photo: `pictures` that were written, and what went wrong, or None."""

    name: str
    pictures: tuple[Path, ...]
    problem: str | None = None

    @property
    def complaint(self) -> str:
        """What went wrong, beginning with the name of the photo."""
        problem = self.problem or ""
        return problem if problem.startswith(self.name) else f"{self.name}: {problem}"


def check_size(sources: Sequence[str]) -> None:
    """Raise OptionError for no photos at all, or for more than a batch takes."""
    if not 1 <= len(sources) <= MOST_PHOTOS:
        raise OptionError(f"{len(sources)} photos in one batch; accepted are 1 to {MOST_PHOTOS}")
    size = sum(Path(source).stat().st_size for source in sources)
    if size > MOST_BYTES:
        raise OptionError(
            f"these photos have {size >> 20} MB; a batch takes {MOST_BYTES >> 20}: send fewer"
        )


def stylize_all(
    stylizer: Stylizer,
    sources: Sequence[str],
    options: StylizeOptions,
    folder: Path,
    should_stop: Callable[[], bool] = lambda: False,
) -> Iterator[Outcome]:
    """Draw photos one after the other into `folder`, each with its record; a failed one is told.

    Raises OptionError for too many. Once `should_stop` says so, what is done stays.
    """
    check_size(sources)
    for number, source in enumerate(sources, 1):
        if should_stop():
            return
        own = folder / f"{number:02}"
        name = Path(source).name
        try:
            found = stylize_file(Job(Path(source), own / f"{_stem(name)}.png"), stylizer, options)
        except StylizeError as error:
            yield Outcome(name, (), str(error))
            continue
        yield Outcome(name, tuple(sorted(own.glob("*.png"))), None if found else UNCHANGED)


def write_zip(outcomes: Sequence[Outcome], style: str, folder: Path) -> Path:
    """Write all pictures, their records and problems.txt into one zip; raises ImageError."""
    path = folder / f"stylized-{style}.zip"
    taken: set[str] = set()
    problems = [f"{outcome.complaint}\n" for outcome in outcomes if outcome.problem]
    try:
        with zipfile.ZipFile(path, "w") as file:  # stored: PNG does not get smaller
            for picture in (p for outcome in outcomes for p in outcome.pictures):
                name = _free(picture.stem, taken)
                file.write(picture, f"{name}.png")
                if (record := picture.with_suffix(".json")).exists():
                    file.write(record, f"{name}.json")
            if problems:
                file.writestr("problems.txt", "".join(problems))
    except OSError as error:
        path.unlink(missing_ok=True)
        raise ImageError(f"cannot write the zip: {error.strerror}; make room") from error
    return path


def new_folder(shelf: Path) -> Path:
    """Return a new folder in `shelf` that no other visitor can guess, and forget the old ones.

    Gradio deletes what it has given away, not what lies beside it.
    """
    oldest = time.time() - KEPT_SECONDS
    for other in shelf.iterdir() if shelf.is_dir() else ():
        with suppress(OSError):  # somebody else has just deleted it
            if other.stat().st_mtime < oldest:
                shutil.rmtree(other, ignore_errors=True)
    folder = shelf / secrets.token_hex(16)
    folder.mkdir(parents=True, mode=0o700)
    return folder


def _stem(name: str) -> str:
    return re.sub(r"[^\w-]+", "-", Path(name).stem).strip("-")[:60] or "photo"


def _free(stem: str, taken: set[str]) -> str:
    """A name in the zip that none has yet: photos of two folders may share theirs."""
    name, number = stem, 1
    while name.lower() in taken:
        number += 1
        name = f"{stem}-{number}"
    taken.add(name.lower())
    return name
