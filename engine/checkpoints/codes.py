"""Codes and directions: DualStyleGAN's extrinsic codes, UI2I's inverted photos, SeFa's factors."""

import torch
from torch import Tensor

from engine.checkpoints.tree import Found, Tree
from engine.errors import CheckpointError


def is_extrinsic(tree: Tree) -> bool:
    """Whether a file is a table from picture names to codes [1, L, 512]."""
    codes = list(tree.states.get("", {}).values())
    return bool(codes) and all(code.ndim == 3 and len(code) == 1 for code in codes)


def is_projected(tree: Tree) -> bool:
    """Whether a file is a table from picture names to what a projector found."""
    found = tree.states.values()
    return bool(found) and all("latent" in s and "img" in s for s in found)


def is_factor(tree: Tree) -> bool:
    """Whether a file holds the factors of a closed-form factorisation."""
    return "eigvec" in tree.states.get("", {})


def read_extrinsic(tree: Tree) -> Found:
    """Codes [N, L, 512] in Z+, in the order of the file."""
    table = tree.states[""]
    codes = _stacked({name: code[0] for name, code in table.items()})
    return Found({"codes": codes}, {"encoder_space": "z+", "names": tuple(table)})


def read_projected(tree: Tree) -> Found:
    """Codes in W [N, 512] (W+ [N, L, 512] if the file has one per layer).

    UI2I also keeps `weight` [N, 512]: what its generators are driven by after a product with the
    factor file, w = weight @ eigvec.
    """
    codes = _stacked({name: s["latent"] for name, s in tree.states.items()})
    parts = {"codes": codes}
    if all("weight" in s for s in tree.states.values()):
        parts["weight"] = _stacked({name: s["weight"] for name, s in tree.states.items()})
    space = "w" if codes.ndim == 2 else "w+"
    return Found(parts, {"encoder_space": space, "names": tuple(tree.states)})


def read_factor(tree: Tree) -> Found:
    """The factors [512, 512] as the file has them.

    The singular vectors are its columns; UI2I multiplies codes from the left all the same,
    w = weight @ eigvec, so the rows are the basis of its `weight`.
    """
    directions = tree.states[""]["eigvec"]
    if directions.ndim != 2 or directions.shape[0] != directions.shape[1]:
        raise CheckpointError(
            f"eigvec is {list(directions.shape)}; a square matrix is expected, [512, 512]: the "
            "file is damaged or of another kind"
        )
    source = tree.values.get("ckpt")
    notes = (f"factors of the weights in {source[:200]}",) if isinstance(source, str) else ()
    return Found({"directions": directions}, notes=notes)


def _stacked(codes: dict[str, Tensor]) -> Tensor:
    """[N, 512] of vectors or [N, L, 512] of one vector per layer."""
    rows = {name: code.reshape(-1, code.shape[-1]) for name, code in codes.items() if code.ndim}
    shapes = {tuple(row.shape) for row in rows.values()}
    if len(shapes) != 1 or len(rows) != len(codes):
        raise CheckpointError(
            f"the {len(codes)} codes of the file have different shapes: "
            f"{sorted(map(list, shapes))[:8]}; one shape is expected"
        )
    stacked = torch.stack(list(rows.values()))
    return stacked[:, 0] if stacked.shape[1] == 1 else stacked
