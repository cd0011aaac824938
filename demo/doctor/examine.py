"""The examination: device and why, versions, style packs, face detectors, video."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass

from demo.record import package_versions
from engine.errors import StylizeError

HEALTHY, BROKEN = 0, 1
PACKAGES = (
    *("torch", "numpy", "opencv-python", "pillow", "safetensors", "gradio", "av"),
    *("face-alignment", "pillow-heif"),
)
MARKS = {"ok": "ok     ", "warning": "warning", "broken": "BROKEN "}


@dataclass(frozen=True)
class Finding:
    """One line of the report; `state` is "ok", "warning" (works without) or "broken"."""

    topic: str
    state: str
    text: str

    def __str__(self) -> str:
        return f"{MARKS[self.state]}  {self.topic:<9}  {self.text}"


def report(arguments: argparse.Namespace) -> int:
    """Print the examination; return 0 if stylizing works here, else 1."""
    findings = []
    for finding in examine(arguments):
        findings.append(finding)
        print(finding, flush=True)
    broken = sum(finding.state == "broken" for finding in findings)
    warnings = sum(finding.state == "warning" for finding in findings)
    print(f"{broken} broken, {warnings} warnings")
    return BROKEN if broken else HEALTHY


def examine(arguments: argparse.Namespace) -> Iterator[Finding]:
    """Yield what is found, topic by topic."""
    yield from check_versions()
    yield from check_runtime(arguments.device, arguments.dtype)
    yield from check_packs(arguments.packs)
    yield from check_detectors()
    yield check_video()


def check_versions() -> Iterator[Finding]:
    """Versions of Python and the packages; only HEIC pictures and 68 points can be done without."""
    versions = package_versions(PACKAGES)
    present = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
    yield Finding("versions", "ok", present)
    purposes = {
        "gradio": "no web page: pip install gradio",
        "av": "no video: pip install av",
        "pillow-heif": "no HEIC photos of iPhones: pip install pillow-heif",
    }
    for package, text in purposes.items():
        if versions[package] is None:
            yield Finding("versions", "warning", f"{package} is missing, {text}")


def check_runtime(device: str | None, dtype: str | None) -> Iterator[Finding]:
    """Where the networks would run, and why."""
    from engine.runtime import pick_runtime

    try:
        runtime = pick_runtime(device, dtype)
    except StylizeError as error:
        yield Finding("device", "broken", str(error))
        return
    yield Finding("device", "ok", runtime.reason)


def check_packs(folder: str | None) -> Iterator[Finding]:
    """Every pack with its licence; hashes are compared, styles are built as for a photo."""
    from engine.library import StyleLibrary
    from engine.pack import Card, load_pack

    library = StyleLibrary([folder] if folder else None)
    places = ", ".join(map(str, library.search))
    packs = library.packs()
    for path, card in packs.items():
        try:
            if not isinstance(card, Card):
                raise card
            load_pack(path)
            yield Finding("pack", "ok", f"{_summary(card)}; {path}")
        except StylizeError as error:
            yield Finding("pack", "broken", str(error))
    if not library.names():
        yield Finding("pack", "broken", f"no style in {places}: copy one there, or use --packs")
    for name in library.names():
        yield _check_style(library, name)


def check_detectors() -> Iterator[Finding]:
    """The three ways to find faces, and which one is used without a wish."""
    import cv2

    from engine.detect import EMBEDDED_WEIGHTS, EmbeddedDetector, FaceAlignmentDetector

    try:
        EmbeddedDetector.from_file()
        yield Finding("detector", "ok", f"embedded: {EMBEDDED_WEIGHTS}")
    except StylizeError as error:
        yield Finding("detector", "warning", str(error))
    if FaceAlignmentDetector.available():
        text = f"used for 68 points, weights at {FaceAlignmentDetector.weights()}"
    elif FaceAlignmentDetector.installed():
        text = "installed without weights, not used: --allow-download fetches them (96 MB)"
    else:
        text = "not installed, not used"
    yield Finding("detector", "ok", f"face-alignment: {text}")
    can_read = hasattr(cv2, "FaceDetectorYN")
    text = "can read the file of --yunet" if can_read else "is too old for --yunet"
    yield Finding("detector", "ok", f"YuNet: OpenCV {cv2.__version__} {text}")


def check_video() -> Finding:
    """The codecs that films are written with, as PyAV has them."""
    try:
        import av
    except ImportError as error:
        return Finding("video", "warning", f"none: {error}; pip install av")
    missing = sorted({"libx264", "aac"} - av.codecs_available)
    if missing:
        return Finding("video", "warning", f"av {av.__version__} has no {', '.join(missing)}")
    return Finding("video", "ok", f"av {av.__version__} writes H.264 and AAC")


def _check_style(library, name: str) -> Finding:
    from engine.runtime import pick_runtime

    try:
        base = library.load(name, pick_runtime("cpu", "float32")).base
    except StylizeError as error:
        return Finding("style", "broken", str(error))
    missing = [part for part in ("encoder", "detector") if getattr(base, part) is None]
    if missing:
        text = f"{name}: base {base.pack.card.name} has no {' and no '.join(missing)}"
        return Finding("style", "broken" if "encoder" in missing else "warning", text)
    return Finding("style", "ok", f"{name} is complete")


def _summary(card) -> str:
    licence = card.licence or "licence not stated"
    attributes = f", attributes {', '.join(card.attributes)}" if card.attributes else ""
    return (
        f"{card.name} ({card.kind}, {card.resolution} px{attributes}), {licence}, "
        f"{len(card.files)} files with the right hash, pack {card.sha256[:12]}"
    )
