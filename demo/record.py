"""The JSON record beside a result: everything needed to make the picture again."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import ImageError
from engine.options import StylizeOptions

if TYPE_CHECKING:
    import numpy as np

    from engine.detect import Face
    from engine.pipeline import Stylizer

RECORDED_PACKAGES = ("torch", "numpy", "opencv-python", "pillow", "safetensors")


def describe_result(
    stylizer: Stylizer, options: StylizeOptions, rgb: np.ndarray, faces: Sequence[Face]
) -> dict[str, Any]:
    """Return everything needed to make a picture again, as JSON values."""
    chosen = options.select(len(faces))
    photo = {
        "photo": {"height": rgb.shape[0], "width": rgb.shape[1]},
        "faces": [
            {
                "box": [round(float(edge), 1) for edge in face.box],
                "score": round(float(face.score), 4),
                "stylized": index in chosen,
            }
            for index, face in enumerate(faces)
        ],
    }
    return describe_style(stylizer, options) | photo | describe_machine(stylizer)


def describe_style(stylizer: Stylizer, options: StylizeOptions) -> dict[str, Any]:
    """Return which networks drew a result, and how, as JSON values."""
    style = stylizer.style
    attribute = options.attribute or style.card.default_attribute
    return {
        "style": style.card.name,
        "source_style": style.source and style.source.card.name,
        "pack": {"name": style.card.name, "sha256": style.card.sha256},
        "base": {"name": style.base.pack.card.name, "sha256": style.base.pack.card.sha256},
        "licence": style.card.licence,
        # With a classifier each face takes the path that suits it, and None says so.
        "options": options.to_dict() | ({} if style.base.classifier else {"attribute": attribute}),
    }


def describe_machine(stylizer: Stylizer, *packages: str) -> dict[str, Any]:
    """Return what computed a result: device, number format, versions, also of more `packages`."""
    runtime = stylizer.runtime
    return {
        "runtime": {
            "device": str(runtime.device),
            "dtype": str(runtime.dtype).removeprefix("torch."),
        },
        "versions": package_versions((*RECORDED_PACKAGES, *packages)),
    }


def package_versions(packages: Sequence[str]) -> dict[str, str | None]:
    """Return the versions of Python and of installed packages; None where one is missing."""
    versions: dict[str, str | None] = {"python": platform.python_version()}
    for package in packages:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = None
    return versions


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Write a JSON file, whole or not at all; raises ImageError."""
    part = path.with_name(path.name + ".part")
    try:
        part.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", "utf-8")
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise ImageError(
            f"cannot write {path}: {error.strerror}; make room and try again"
        ) from error
