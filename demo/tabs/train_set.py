"""A training set made of what a visitor uploads, and what the data doctor says of it.

The recipes' modules are imported when the first pictures come: the page starts without them.
"""

from __future__ import annotations

import re
import secrets
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from demo.tabs.train_uploads import discard, gather
from engine.catalogue import public_files
from engine.detect import Detector
from engine.download import is_present, weights_folder
from engine.errors import DataError
from engine.pack import read_card
from train.findings import NOTE, STOP, WARNING, Finding

NO_PHOTOS = Finding(
    "photos",
    WARNING,
    "no photos of people: the style learns from random faces, and comes out blotchy",
    "add 50 portrait photos or more above, of all sorts of people",
)
NO_WEIGHTS = Finding(
    "perceptual",
    NOTE,
    "eyes and mouths come out better with public weights that are not here",
    "whoever runs this page can fetch them once: python -m demo.doctor fetch squeezenet",
)
# What to do on this page, where the doctor would name a command.
ON_THE_PAGE = {
    "attributes": "tick Variants below to give each its own",
    "count": "it works, and 100 work better",
    "distance": "leave Freer ticked below",
    "framing": "choose other pictures of them",
    "shapes": "choose other pictures",
    "pictures": "choose other pictures",
}


@dataclass(frozen=True)
class PictureSet:
    """A folder of prepared pictures, and what was found in it.

    `names` are the attributes in its table; `far` tells whether the style is far from photographs.
    """

    folder: Path
    holds: str
    count: int
    findings: tuple[Finding, ...]
    names: tuple[str, ...] = ()
    far: bool = False

    @property
    def can_be_trained(self) -> bool:
        """Whether nothing was found that would stop a training."""
        return all(finding.severity != STOP for finding in self.findings)


def make_set(
    uploads: Sequence[dict[str, Any]],
    holds: str,
    base: Path,
    detector: Detector,
    shelf: Path,
    on_picture: Callable[[int, int], None],
) -> PictureSet:
    """Prepare uploaded pictures in a new folder of `shelf`, and examine them.

    Args:
        holds: "exemplars" of a style, or "photos".
        base: pack the training will start from.
        on_picture: told the number of the picture being looked at, and how many there are.

    Raises:
        DataError: the upload is refused, or no picture of it can be used.
    """
    from train.doctor import FAR, examine
    from train.packs import load_source
    from train.prepare import Preparation, prepare

    work = shelf / secrets.token_hex(16)
    work.mkdir(parents=True, mode=0o700)
    try:
        gathered = gather(uploads, work / "sent")
        seen = 0

        def counting(rgb: Any) -> list[Any]:
            nonlocal seen
            seen += 1
            on_picture(min(seen, gathered.pictures), gathered.pictures)
            return detector(rgb)

        size = read_card(base).resolution
        folder = work / "set"
        report = prepare(
            work / "sent", folder, Preparation(size=size), counting, table=gathered.table
        )
        if not report.kept:
            reasons = ", ".join(sorted({reason for reason, _, _ in report.refused}))
            raise DataError(
                f"none of the {gathered.pictures} pictures can be used ({reasons}): portraits "
                f"with one clear face of at least {size // 2} px are needed"
            )
        discard(work / "sent")  # only the faces are kept
        source = load_source(base)
        diagnosis = examine(folder, size, source, holds=holds, detector=detector)
    except BaseException:
        discard(work)
        raise
    sent_as = {sample.file: Path(sample.source).name for sample in report.kept}
    found = [_for_the_page(finding, sent_as) for finding in diagnosis.findings]
    findings = (*_left_out(report.refused), *found)
    names = tuple(sorted({sample.attribute for sample in report.kept} - {""}))
    far = (diagnosis.distance or 0.0) >= FAR
    return PictureSet(folder, holds, len(report.kept), findings, names, far)


def _left_out(refused: Sequence[tuple[str, str, str]]) -> list[Finding]:
    """What train.prepare left out, a finding for each reason."""
    counts = Counter(reason for reason, _, _ in refused)
    return [
        Finding(
            "left out",
            NOTE if count < 5 else WARNING,
            f"{count} left out, {reason}",
            files=tuple(Path(source).name for why, source, _ in refused if why == reason),
        )
        for reason, count in counts.most_common()
    ]


def _for_the_page(finding: Finding, sent_as: Mapping[str, str]) -> Finding:
    """The same for whoever sees no command line, and knows the files by the names they had."""
    is_command = "--" in finding.remedy or "python -m" in finding.remedy
    remedy = ON_THE_PAGE.get(finding.about, "") if is_command else finding.remedy
    files = tuple(
        re.sub(r"\d{6}\.jpg", lambda found: sent_as.get(found[0], found[0]), file)
        for file in finding.files
    )
    return replace(finding, remedy=remedy, files=files)


def missing_of(*, with_photos: bool) -> list[Finding]:
    """What a training can do without, and is worse for it."""
    missing = [] if with_photos else [NO_PHOTOS]
    return missing if weights() else [*missing, NO_WEIGHTS]


def recipe_for(preset: str, people: PictureSet | None) -> str:
    """Return the quick recipe where there is what it needs: photos of people, and trained eyes."""
    is_quick = preset == "cpu" and people is not None and weights() is not None
    return "texture" if is_quick else "transfer"


def weights() -> Path | None:
    """Return the public weights that watch over eyes and mouths, if they were fetched."""
    entry, folder = public_files()["squeezenet"], weights_folder()
    return folder / entry.file if is_present(entry, folder) else None
