"""Export a pack: write every part, compare it with PyTorch, keep what draws the same pictures."""

from __future__ import annotations

import json
import math
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from engine.base import Base
from engine.card import Card
from engine.errors import PackError
from engine.exporting.graph import (
    BATCH,
    OPSET,
    in_float16,
    quantized,
    require_packages,
    to_onnx,
    with_eight_bit_weights,
)
from engine.exporting.parts import Part, parts_of
from engine.image import to_uint8
from engine.pack import sha256_of, whole_files
from engine.style import Style

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

LEAST_PSNR = 42.0  # dB between pictures: JPEG of quality 95 gives 34 to 43 (train.shrink)
VARIANTS = ("float32", "float16", "int8-weights", "int8-dynamic", "int8-static")
USUAL = VARIANTS[:3]  # the others compute in int8, and change the pictures
EXPORT_FILE = "export.json"
TIMED = 9


@dataclass(frozen=True)
class Outcome:
    """What became of one variant of one part.

    Attributes:
        part, variant: which one.
        file: its name; "" if it was not kept.
        megabytes: on disk.
        psnr: dB against what PyTorch draws in float32, of pictures in 8 bits; infinite if equal.
        milliseconds: median processor time of one picture by onnxruntime, one thread.
        why_not: why it was not kept, "" if it was.
    """

    part: str
    variant: str
    file: str
    megabytes: float
    psnr: float
    milliseconds: float
    why_not: str = ""


def export_pack(
    pack: Style | Base, folder: Path, variants: Sequence[str] = USUAL
) -> Iterator[Outcome]:
    """Export a pack, loaded in float32 on the CPU, into a folder, and yield what became of it.

    Files appear at the end, all or none: PART.onnx, PART.VARIANT.onnx, and export.json, which says
    what is in them. Variants whose pictures differ by less than `LEAST_PSNR` are not kept.

    Raises:
        OptionError: onnx, onnxscript or onnxruntime is not installed.
        PackError: ONNX computes something else than PyTorch, or the folder cannot be written.
    """
    require_packages()
    folder.mkdir(parents=True, exist_ok=True)
    base = pack.base if isinstance(pack, Style) else pack
    parts, described, files = list(parts_of(pack)), [], {}
    with whole_files(folder) as place:
        for part in parts:
            metadata = _metadata(pack, part)
            for outcome, source in _variants(part, base, variants, metadata):
                if outcome.file:
                    place(outcome.file).write_bytes(source.read_bytes())
                    files[outcome.file] = sha256_of(place(outcome.file))
                described.append(outcome)
                yield outcome
        about = {**_about(pack), "opset": OPSET, "batch": "any", "sha256": files}
        about["parts"] = [_describe(part, described) for part in parts]
        text = json.dumps(about, indent=2, ensure_ascii=False)
        place(EXPORT_FILE).write_text(text + "\n", encoding="utf-8")


def session(file: Path) -> InferenceSession:
    """Open a file on one processor, so that times compare."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])


def _variants(
    part: Part, base: Base, variants: Sequence[str], metadata: dict[str, str]
) -> Iterator[tuple[Outcome, Path]]:
    """Make, measure and judge each variant; the file is there until the next one is asked for."""
    import onnx

    with tempfile.TemporaryDirectory() as temporary:
        exact = Path(temporary) / "float32.onnx"
        model = to_onnx(part, metadata)
        onnx.save(model, exact)
        for variant in variants:
            file = Path(temporary) / f"{variant}.onnx"
            if variant == "float16":
                onnx.save(in_float16(model), file)
            elif variant == "int8-weights":
                onnx.save(with_eight_bit_weights(model), file)
            elif variant != "float32":
                rows = ({part.input: row[None].numpy()} for row in part.example)
                quantized(exact, file, examples=rows if variant == "int8-static" else None)
            yield _judged(measure(part, base, variant, file)), file


def _judged(outcome: Outcome) -> Outcome:
    """Refuse a variant that changes the pictures; float32 must not."""
    if outcome.psnr >= LEAST_PSNR:
        suffix = "" if outcome.variant == "float32" else f".{outcome.variant}"
        return replace(outcome, file=f"{outcome.part}{suffix}.onnx")
    why = f"its pictures differ: {outcome.psnr:.1f} dB, at least {LEAST_PSNR:g} dB are needed"
    if outcome.variant == "float32":
        raise PackError(
            f"{outcome.part} in ONNX: {why}; update onnx, onnxscript and onnxruntime, and tell us"
        )
    return replace(outcome, why_not=why)


def measure(part: Part, base: Base, variant: str, file: Path) -> Outcome:
    """Compare a file with PyTorch on the examples of its part; codes are compared as pictures."""
    opened = session(file)
    wanted = part.run(part.example)[0]
    found = torch.from_numpy(opened.run(None, {part.input: part.example.numpy()})[0])
    if part.outputs[0] == "ws":
        with torch.inference_mode():
            found, wanted = (base.generator.synthesis(ws) for ws in (found, wanted))
    one, times = {part.input: part.example[:1].numpy()}, []
    for _ in range(TIMED):
        begun = time.process_time()  # one thread: other programs do not count
        opened.run(None, one)
        times.append(time.process_time() - begun)
    size, psnr = file.stat().st_size / 1e6, _psnr(to_uint8(found), to_uint8(wanted))
    milliseconds = 1000 * statistics.median(times)
    return Outcome(part.name, variant, "", round(size, 2), psnr, round(milliseconds, 1))


def _psnr(a: np.ndarray, b: np.ndarray) -> float:
    error = np.square(a.astype(np.float32) - b.astype(np.float32)).mean()
    return round(10 * math.log10(255**2 / error), 1) if error else math.inf


def _about(pack: Style | Base) -> dict[str, Any]:
    """Whose pictures these are, for people and for programs."""
    card: Card = pack.card if isinstance(pack, Style) else pack.pack.card
    base = pack.base.pack.card if isinstance(pack, Style) else card
    return {
        "pack": card.name,
        "title": card.title,
        "pack_sha256": card.sha256,
        "base": base.name,
        "base_sha256": base.sha256,
        "licence": card.licence,
        "resolution": card.resolution,
        "framing": base.framing,
    }


def _metadata(pack: Style | Base, part: Part) -> dict[str, str]:
    """The same, and what goes in and comes out, as an ONNX file can keep it."""
    held = {f"about {name}": text for name, text in part.about.items()}
    return {"part": part.name, **{k: str(v) for k, v in _about(pack).items()}, **held}


def _named(part: Part) -> dict[str, torch.Tensor]:
    return dict(zip(part.outputs, part.run(part.example), strict=True))


def _describe(part: Part, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    tensors = {part.input: part.example, **_named(part)}
    shapes = {name: [BATCH, *x.shape[1:]] for name, x in tensors.items()}
    own = [asdict(o) for o in outcomes if o.part == part.name]
    for values in own:
        values["psnr"] = None if math.isinf(values["psnr"]) else values["psnr"]
    return {
        "name": part.name,
        "input": part.input,
        "outputs": list(part.outputs),
        "shapes": shapes,
        "about": part.about,
        "variants": own,
    }
