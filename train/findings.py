"""What the data doctor says of a training set: findings, and all of them together."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from engine.errors import DataError
from train.dataset import some_of, write_whole

FINE, NOTE, WARNING, STOP = SEVERITIES = ("fine", "note", "warning", "stop")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        about: what, in one word: "pictures", "faces", "distance" ...
        severity: one of SEVERITIES, from nothing to do to nothing can be trained.
        text: what was found, in plain words.
        remedy: what to do about it; "" if there is nothing to do.
        files: names of the pictures it is about, all of them.
    """

    about: str
    severity: str
    text: str
    remedy: str = ""
    files: tuple[str, ...] = ()

    def line(self) -> str:
        """The finding as a line of text, with the first few of its files."""
        files = f" ({some_of(self.files)})" if self.files else ""
        remedy = f": {self.remedy}" if self.remedy else ""
        return f"{self.severity + ':':8} {self.text}{files}{remedy}"


@dataclass(frozen=True)
class Diagnosis:
    """All findings about a folder; `distance` is that of exemplars to the base, 0 .. 1."""

    folder: str
    findings: tuple[Finding, ...]
    distance: float | None = None

    @property
    def severity(self) -> str:
        """That of the worst finding."""
        return max((finding.severity for finding in self.findings), key=SEVERITIES.index)

    def of(self, severity: str) -> list[Finding]:
        """The findings of one severity."""
        return [finding for finding in self.findings if finding.severity == severity]

    def text(self) -> str:
        """The diagnosis in lines, the worst findings first."""
        ordered = sorted(self.findings, key=lambda f: -SEVERITIES.index(f.severity))
        return "\n".join([f"{self.folder}:", *(f"  {finding.line()}" for finding in ordered)])


def write_diagnoses(out: Path, diagnoses: Sequence[Diagnosis]) -> None:
    """Write doctor.txt and doctor.json into the folder `out`, which is made if need be.

    Raises:
        DataError: the folder cannot be made.
        ImageError: a file cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"cannot make the folder {out}: {error.strerror}") from error
    write_whole(out / "doctor.txt", ("\n".join(d.text() for d in diagnoses) + "\n").encode())
    rows = [asdict(diagnosis) | {"severity": diagnosis.severity} for diagnosis in diagnoses]
    write_whole(out / "doctor.json", (json.dumps(rows, indent=2) + "\n").encode())
