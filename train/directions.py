"""Recipe: named directions for editing faces, learned from photos in a minute.

    python -m train.directions --data sets/photos --base packs/base

SeFa (Shen & Zhou 2021) finds what changes most, without a name. Here something is known of every
photo: what the columns `attribute` (female, male), `expression` (neutral, smiling) and `age`
(younger, older) of its CSV file say, and what can be seen in an aligned face: how far it turns,
from which side the light comes, how bright it is. The codes ws of the photos in W+ are regressed on
it, all that can be seen at once, so that a direction does one thing:

    ws = mean + sum_k y_k d_k          (least squares over photos, one d_k [L, w_dim] per name)

As directions act on every layer by itself they are finer than one w for all layers, and as all
styles of a base share its codes they serve all of them. They go into the base pack, before SeFa's.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from engine.card import DIRECTIONS_FILE
from engine.errors import DataError, PackError
from engine.latent import map_zplus
from engine.pack import save_pack
from engine.runtime import pick_runtime
from train.config import run_recipe
from train.data import ImageSet, as_float, known_of, load_images
from train.encoder import posteriors
from train.packs import load_source

FULL = 3.0  # amount that leads from one of two kinds of faces to the other, or two deviations
LEAST = 20  # photos of either kind
SIZE = 64  # side at which pictures are looked at
# What the CSV file may say: (name, column, value at the far end, value at the near one).
KINDS = (
    ("Smile", "expression", "smiling", "neutral"),
    ("Feminine", "attribute", "female", "male"),
    ("Older", "age", "older", "younger"),
)
# People of one age are seldom photographed as those of another: where backgrounds and light are
# drawn the difference is theirs, between 16 and 64 px it is hair and features. Smiles differ, too.
LAYERS = {"Older": slice(4, 8)}
SEEN = ("Turn", "Light from the side")  # of what `look_at` sees: brightness means skin, too


@dataclass(frozen=True)
class DirectionsConfig:
    """Settings of train.directions."""

    data: str = field(default="", metadata={"holds": "photos", "help": "folder of aligned photos"})
    about: str = field(default="", metadata={"help": "the photos and their licence, for the card"})
    base: str = field(default="engine/packs/base", metadata={"help": "pack to read and update"})


PRESETS = {"default": DirectionsConfig()}


def train(config: DirectionsConfig) -> dict[str, Any]:
    """Learn the directions, put them into the base pack, and return what they were learned from.

    Raises:
        PackError: the base has no variational encoder.
        DataError: there are too few photos.
    """
    source = load_source(config.base)
    if source.E is None or not source.E.variational:
        raise PackError(f"{config.base} has no encoder into Z+: run python -m train.encoder")
    photos = load_images(config.data, source.E.input_size)
    if len(photos) < LEAST:
        raise DataError(f"{config.data} has {len(photos)} photos; {LEAST} are needed at least")
    E, mapping = source.E.to(pick_runtime().device), source.G.mapping
    with torch.no_grad():
        ws = map_zplus(mapping, posteriors(E, photos)[0])
    seen = look_at(photos)
    kinds = read_kinds(config.data, photos)
    found = {name: coefficient(ws, y, seen) for name, y in kinds.items()}
    for name, layers in LAYERS.items():
        if name in found:
            others = [direction for other, direction in found.items() if other not in LAYERS]
            found[name] = narrowed(found[name], layers, others)
    counts = {name: int((~y.isnan()).sum()) for name, y in kinds.items()}
    for i, name in enumerate(SEEN):
        others = torch.cat([seen[:, :i], seen[:, i + 1 :]], dim=1)
        found[name] = 2 * coefficient(ws, seen[:, i], others)
    record = {"recipe": "train.directions", **asdict(config), "photos": len(photos), **counts}
    card = source.pack.card
    training = dict(card.training) | {DIRECTIONS_FILE: record}
    card = replace(card, training=training, directions=tuple(found))
    learned = torch.stack(list(found.values())) / FULL
    save_pack(config.base, card, {DIRECTIONS_FILE: {"learned": learned}})
    return record


def read_kinds(folder: str, photos: ImageSet) -> dict[str, Tensor]:
    """What the CSV file says, by name: [N] of 0.5, -0.5 and, where it says nothing, NaN.

    Names that it knows too few photos of are left out.
    """
    kinds, known = {}, known_of(Path(folder))
    for name, column, far, near in KINDS:
        values = {far: 0.5, near: -0.5}
        said = [known.get(file, {}).get(column) for file in photos.files]
        y = torch.tensor([values.get(value, torch.nan) for value in said])
        if min((y == 0.5).sum(), (y == -0.5).sum()) >= LEAST:
            kinds[name] = y
    return kinds


def look_at(photos: ImageSet) -> Tensor:
    """Turn, side of the light, brightness of aligned photos, [N, 3], of deviation 1.

    Read off the face's place in FFHQ's framing: a face that turns moves its bright middle, nose and
    forehead, towards where it looks; light from a side makes that cheek the brighter one.
    """
    small = torch.nn.functional.interpolate(as_float(photos.images), (SIZE, SIZE), mode="area")
    gray = small.mean(1)  # [N, S, S]
    face = gray[:, 24:48, 14:50]
    left, right = face[:, :, :12].mean((1, 2)), face[:, :, -12:].mean((1, 2))
    across = torch.linspace(-1, 1, 36)
    edges = (face[:, :, 1:] - face[:, :, :-1]).abs().mean(1)  # [N, 35]: where features are
    middle = (edges * across[1:]).sum(1) / edges.sum(1)
    seen = torch.stack([middle, right - left, face.mean((1, 2))], dim=1)
    return (seen - seen.mean(0)) / seen.std(0)


def coefficient(ws: Tensor, y: Tensor, others: Tensor) -> Tensor:
    """Least squares of codes ws [N, L, w_dim] on y [N], beside `others` [N, K]: y's, [L, w_dim].

    Photos whose y is NaN are left out.
    """
    known = ~y.isnan()
    columns = [torch.ones(int(known.sum()), 1), y[known, None], others[known]]
    design = torch.cat(columns, dim=1).double()
    solution = torch.linalg.lstsq(design, ws[known].flatten(1).double()).solution
    return solution[1].view(ws.shape[1:]).float()


def narrowed(direction: Tensor, layers: slice, others: Sequence[Tensor]) -> Tensor:
    """A direction [L, w_dim] of some layers alone, without what it has there of other ones."""
    kept = torch.zeros_like(direction)
    kept[layers] = direction[layers]
    if others:
        theirs = torch.stack([other[layers].flatten() for other in others], dim=1)  # [D, K]
        share = torch.linalg.lstsq(theirs, direction[layers].flatten()[:, None]).solution
        kept[layers] -= (theirs @ share).view_as(kept[layers])
    return kept


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line, learn, and print what from."""

    def train_and_tell(config: DirectionsConfig) -> None:
        print(json.dumps(train(config), indent=2))

    run_recipe(DirectionsConfig, PRESETS, train_and_tell, __doc__, argv)


if __name__ == "__main__":
    main()
