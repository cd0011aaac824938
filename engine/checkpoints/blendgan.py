"""BlendGAN: a generator whose codes are blended from a face and a style, and what reads the style.

Its generator, its style encoder and the second mapping network lie in one table.
"""

import re

from torch import Tensor

from engine.checkpoints import rosinality
from engine.checkpoints.openmmlab import under
from engine.checkpoints.renaming import renamed
from engine.checkpoints.tree import Found, State, Tree
from engine.errors import CheckpointError

_FEATURES = re.compile(r"(?:embedder\.)*(?:feature_extractor\.)?vgg_layers\.(\d+\.(?:weight|bias))")
_PERCEPTRON = re.compile(r"(?:embedder\.)*embedder_mlp\.(\d+\.(?:weight|bias))")
_STYLE_PLACES = ("state_dict", "g_ema", "")


def is_blendgan(tree: Tree) -> bool:
    """Whether a file holds the generator with its blending weights."""
    return tree.place(rosinality.PLACES, lambda s: "add_weight" in s) is not None


def is_style_encoder(tree: Tree) -> bool:
    """Whether a file holds the style encoder and nothing else."""
    return tree.place(_STYLE_PLACES, lambda s: bool(s) and all(map(_style_name, s))) is not None


def read(tree: Tree) -> Found:
    """Generator, style encoder, second mapping network, and the share of the face per layer."""
    state = tree.states[tree.place(rosinality.PLACES, lambda s: "add_weight" in s)]
    ours = ("add_weight", "embedding.", "embedder.")
    plain = {name: value for name, value in state.items() if not name.startswith(ours)}
    parts = {}
    parts["generator"], notes = rosinality.generator(plain, rosinality.centre(tree))
    parts["style_mapping"] = renamed(
        under(state, "embedding."), _mapping_name, "BlendGAN's mapping of style codes"
    )
    embedder = {name: value for name, value in state.items() if name.startswith("embedder.")}
    parts["style_encoder"] = renamed(embedder, _style_name, "BlendGAN's style encoder")
    parts["blend_weights"] = _blend_weights(state["add_weight"], parts["generator"])
    return Found(parts, notes=notes)


def read_style_encoder(tree: Tree) -> Found:
    """The style encoder of a file of its own."""
    state = tree.states[tree.place(_STYLE_PLACES, lambda s: bool(s) and all(map(_style_name, s)))]
    return Found({"style_encoder": renamed(state, _style_name, "BlendGAN's style encoder")})


def _blend_weights(add_weight: Tensor, generator: State) -> Tensor:
    """Share of the face [L], in [0, 1]: the public code clamps it whenever it is used."""
    num_ws = 2 * sum(name.endswith("torgb.bias") for name in generator)
    if add_weight.numel() != num_ws:
        raise CheckpointError(
            f"add_weight has the shape {list(add_weight.shape)}; {num_ws} values are expected, one "
            "per layer of the generator: the file is damaged or of another kind"
        )
    return add_weight.reshape(-1).clamp(0, 1)


def _mapping_name(name: str) -> str | None:
    m = re.fullmatch(r"([1-9]\d?)\.(weight|bias)", name)
    return f"fc{int(m[1]) - 1}.{m[2]}" if m else None


def _style_name(name: str) -> str | None:
    if m := _FEATURES.fullmatch(name):
        return f"features.{m[1]}"
    m = _PERCEPTRON.fullmatch(name)
    return f"mlp.{m[1]}" if m else None
