"""Which public project a file is of: recognised from the names in it, and read by its family."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from engine.checkpoints import (
    blendgan,
    codes,
    encoders,
    fomm,
    nvidia,
    openmmlab,
    rosinality,
    tensorflow,
)
from engine.checkpoints.checkpoint import Checkpoint
from engine.checkpoints.container import Contents, read_container
from engine.checkpoints.renaming import listed
from engine.checkpoints.tree import Found, Tree, plant
from engine.errors import CheckpointError


@dataclass(frozen=True)
class Kind:
    """A kind of file: what it is, whether a file may be one, and how it is read."""

    name: str
    what: str
    fits: Callable[[Tree], bool]
    read: Callable[[Tree], Found]


_MMGEN = "StyleGAN2 of OpenMMLab, and MMGEN-FaceStylor's encoder to Z+ and styles"
_BLENDGAN = "BlendGAN, and its style encoder alone"
_KINDS = (
    Kind(
        "rosinality",
        "StyleGAN2 as rosinality/stylegan2-pytorch, UI2I-StyleGAN2 and JoJoGAN save it",
        rosinality.is_plain,
        rosinality.read_plain,
    ),
    Kind("nvidia", "StyleGAN2 of stylegan2-ada-pytorch", nvidia.is_nvidia, nvidia.read),
    Kind("nvidia-tf", "the first StyleGAN2", tensorflow.is_tensorflow, tensorflow.read),
    Kind("mmgen", _MMGEN, openmmlab.is_gan, openmmlab.read_gan),
    Kind("mmgen", _MMGEN, encoders.is_facestylor, encoders.read_facestylor),
    Kind("psp", "pSp encoder to W or W+", encoders.is_psp, encoders.read_psp),
    Kind(
        "psp-zplus",
        "pSp encoder to Z+ of DualStyleGAN and VToonify",
        encoders.is_psp_zplus,
        encoders.read_psp_zplus,
    ),
    Kind("e4e", "encoder4editing", encoders.is_e4e, encoders.read_e4e),
    Kind(
        "agilegan-encoder",
        "variational encoder of AgileGAN",
        encoders.is_agilegan,
        encoders.read_agilegan,
    ),
    Kind(
        "agilegan-style",
        "two-path generator of AgileGAN",
        rosinality.is_two_paths,
        rosinality.read_two_paths,
    ),
    Kind("blendgan", _BLENDGAN, blendgan.is_blendgan, blendgan.read),
    Kind("blendgan", _BLENDGAN, blendgan.is_style_encoder, blendgan.read_style_encoder),
    Kind(
        "dualstylegan",
        "generator of DualStyleGAN",
        rosinality.is_dual_style,
        rosinality.read_dual_style,
    ),
    Kind(
        "exstyle-codes",
        "extrinsic style codes of DualStyleGAN",
        codes.is_extrinsic,
        codes.read_extrinsic,
    ),
    Kind("projected-codes", "photos inverted by UI2I", codes.is_projected, codes.read_projected),
    Kind("factor", "closed-form factors (SeFa)", codes.is_factor, codes.read_factor),
    Kind("fomm", "first order motion model", fomm.is_fomm, fomm.read),
    Kind("arcface", "ArcFace, model_ir_se50.pth", encoders.is_arcface, encoders.read_arcface),
)
KINDS = {kind.name: kind.what for kind in _KINDS}
# What reading a table ends in that lacks tensors, or has some of an odd shape.
_DAMAGE = (LookupError, ValueError, ArithmeticError, RuntimeError, TypeError, AttributeError)
_REFUSED = (
    ("StyleGAN3's alias-free generator", nvidia.is_stylegan3),
    ("StyleGAN of the first generation", tensorflow.is_stylegan1),
)


def read(path: str | Path, kind: str | None = None) -> Checkpoint:
    """Read a public checkpoint; nothing in it is executed.

    Args:
        path: file of PyTorch, safetensors, NVIDIA's pickles or NumPy.
        kind: one of `KINDS`; needed only where names cannot tell, as the error then says.

    Raises:
        CheckpointError: the file cannot be read safely, is of no known kind, of another kind than
            said, of a kind that names cannot tell, incomplete, or damaged.
    """
    return recognise(read_container(path), kind, str(path))


def recognise(contents: Contents, kind: str | None = None, path: str = "") -> Checkpoint:
    """The same for what `read_container` found in the file; `path` is for messages."""
    if kind is not None and kind not in KINDS:
        raise CheckpointError(f"kind {kind!r} is not known; accepted: {', '.join(KINDS)}")
    try:
        tree = plant(contents)
        chosen = _chosen(tree, kind)
        found = chosen.read(tree)
        checkpoint = Checkpoint(path, chosen.name, _config(found), found.parts, found.notes)
        checkpoint.check()
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}" if path else str(error)) from error
    except _DAMAGE as error:
        raise CheckpointError(
            f"{path or 'the file'} is incomplete or damaged ({type(error).__name__}: {error}); get "
            "it again"
        ) from error
    return checkpoint


def _chosen(tree: Tree, kind: str | None) -> Kind:
    for what, fits in _REFUSED:
        if fits(tree):
            raise CheckpointError(
                f"this is {what}, which is not supported: only StyleGAN2 is; use a StyleGAN2 "
                "checkpoint"
            )
    fitting = {k.name: k for k in _KINDS if k.fits(tree)}
    if not fitting:
        names = [f"{p}.{n}" if p else n for p, s in tree.states.items() for n in s]
        raise CheckpointError(
            f"of no known kind: it holds {listed(names or sorted(map(str, tree.values)))}; known "
            f"are {', '.join(KINDS)}"
        )
    if kind is None and len(fitting) > 1:
        choices = "; ".join(f"--kind {name}: {k.what}" for name, k in fitting.items())
        raise CheckpointError(f"the names in the file fit several kinds, say which: {choices}")
    if kind is not None and kind not in fitting:
        raise CheckpointError(
            f"this is no {kind} ({KINDS[kind]}); its names fit {', '.join(fitting)}: leave --kind "
            "out or give that"
        )
    return fitting[kind or next(iter(fitting))]


def _config(found: Found) -> dict[str, object]:
    """What the reader found, and the side of the generator's pictures in px."""
    names = found.parts.get("generator", {})
    sizes = [int(m[1]) for n in names if (m := re.search(r"\.b(\d{1,5})\.torgb\.bias$", n))]
    known = {"conv_clamp": None, "resolution": max(sizes)} if sizes else {}
    return {**known, **found.config}
