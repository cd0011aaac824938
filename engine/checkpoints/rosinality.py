"""rosinality/stylegan2-pytorch, and the projects that save its networks under its names.

Those are UI2I-StyleGAN2 and JoJoGAN (plain generators), AgileGAN (two attribute paths in one
generator) and DualStyleGAN (a plain generator inside of a larger one).
"""

import re

import torch
from torch import Tensor

from engine.checkpoints.renaming import completed, renamed, without_filters
from engine.checkpoints.tree import Found, State, Tree
from engine.errors import CheckpointError

PLACES = ("g_ema", "Gt", "g", "state_dict", "")  # Gt: ecielyang's retrained AgileGAN

_LAYER_LEAVES = {
    "conv.weight": "weight",
    "conv.modulation.weight": "affine.weight",
    "conv.modulation.bias": "affine.bias",
    "noise.weight": "noise_strength",
    "activate.bias": "bias",
    "bias": "bias",  # of ToRGB
}
_BLOCK_LEAVES = {
    "conv1.0.weight": "conv0.weight",
    "conv1.1.bias": "conv0.bias",
    "conv2.1.weight": "conv1.weight",
    "conv2.2.bias": "conv1.bias",
    "skip.1.weight": "skip.weight",
}
_END_LEAVES = {
    "final_conv.0.weight": "b4.conv.weight",
    "final_conv.1.bias": "b4.conv.bias",
    "final_linear.0.weight": "b4.fc.weight",
    "final_linear.0.bias": "b4.fc.bias",
    "final_linear.1.weight": "b4.out.weight",
    "final_linear.1.bias": "b4.out.bias",
}


def is_generator(state: State) -> bool:
    """Whether these are the names of a generator, however many paths or extras it has."""
    return "input.input" in state and "style.1.weight" in state


def is_discriminator(state: State) -> bool:
    """Whether these are the names of a discriminator."""
    return "final_linear.1.weight" in state and "convs.0.0.weight" in state


def is_plain(tree: Tree) -> bool:
    """Whether a file holds a plain generator, or nothing but a discriminator."""
    place = tree.place(PLACES, is_generator)
    if place is None:
        return tree.place(("d", "state_dict", ""), is_discriminator) is not None
    state = tree.states[place]
    return not is_two_paths(tree) and "add_weight" not in state


def is_two_paths(tree: Tree) -> bool:
    """Whether a file holds an AgileGAN generator with one path per attribute."""
    place = tree.place(PLACES, is_generator)
    return place is not None and any(name.startswith("convsA.") for name in tree.states[place])


def is_dual_style(tree: Tree) -> bool:
    """Whether a file holds a DualStyleGAN, which wraps a plain generator."""
    return tree.place(PLACES, lambda s: "generator.input.input" in s) is not None


def read_plain(tree: Tree) -> Found:
    """Generator, preferably the averaged one, and discriminator of a rosinality file."""
    place = tree.place(PLACES, is_generator)
    parts, notes = _discriminator(tree), ()
    if place is not None:
        parts["generator"], notes = generator(tree.states[place], centre(tree))
        if place == "g":
            notes += ("the file has no averaged generator (g_ema): g was read",)
    return Found(parts, notes=notes)


def read_two_paths(tree: Tree) -> Found:
    """AgileGAN's style file: path 0 (A) draws women, path 1 (B) men."""
    state = tree.states[tree.place(PLACES, is_generator)]
    low = len({m[1] for name in state if (m := re.match(r"convsA\.(\d+)\.", name))})
    paths = [generator(_one_path(state, path, low), centre(tree)) for path in "AB"]
    in_path = tuple(f"synthesis.b{8 * 2**k}." for k in range(low // 2))
    merged = {n: v for n, v in paths[0][0].items() if not n.startswith(in_path)}
    for index, (plain, _) in enumerate(paths):
        for name, value in plain.items():
            if name.startswith(in_path):
                merged[name.replace("synthesis.", f"synthesis.paths.{index}.", 1)] = value
    parts = {"generator": merged, **_discriminator(tree)}
    return Found(parts, {"attributes": ("female", "male")}, paths[0][1])


def read_dual_style(tree: Tree) -> Found:
    """The plain generator inside of a DualStyleGAN; its style branch is left out."""
    inner = "generator."
    state = tree.states[tree.place(PLACES, lambda s: inner + "input.input" in s)]
    plain = {n.removeprefix(inner): v for n, v in state.items() if n.startswith(inner)}
    parts, notes = generator(plain, centre(tree))
    outside = sum(not name.startswith(inner) for name in state)
    notes += (f"DualStyleGAN's extrinsic style path ({outside} tensors res.*, style.*) left out",)
    return Found({"generator": parts}, notes=notes)


def generator(state: State, w_avg: Tensor | None) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """A plain generator in our names, completed, with a note on each addition.

    Raises:
        CheckpointError: names are not of this format, or filters are not StyleGAN2's.
    """
    kept = without_filters(state, lambda name: name.endswith(".kernel"))
    shaped = {name: _without_leading_one(name, value) for name, value in kept.items()}
    ours = renamed(shaped, _generator_name, "a rosinality StyleGAN2 generator")
    return completed(ours, w_avg)


def discriminator(state: State) -> dict[str, Tensor]:
    """A discriminator in our names.

    Raises:
        CheckpointError: names are not of this format, or filters are not StyleGAN2's.
    """
    kept = without_filters(state, lambda name: name.endswith(".kernel"))
    blocks = [int(m[1]) for name in kept if (m := re.match(r"convs\.(\d{1,2})\.", name))]
    size = 4 * 2 ** max(blocks, default=0)
    return renamed(
        kept, lambda name: _discriminator_name(name, size), "a rosinality StyleGAN2 discriminator"
    )


def centre(tree: Tree) -> Tensor | None:
    """The file's mean of w [512] for truncation; None if it has none, or one per layer."""
    mean = tree.latent_avg()
    return mean[0] if mean is not None and torch.equal(mean, mean[:1].expand_as(mean)) else None


def _discriminator(tree: Tree) -> dict[str, State]:
    place = tree.place(("d", "state_dict", ""), is_discriminator)
    return {} if place is None else {"discriminator": discriminator(tree.states[place])}


def _one_path(state: State, path: str, low: int) -> dict[str, Tensor]:
    """The plain generator that one attribute path and the shared layers make up."""
    plain = {}
    for name, value in state.items():
        if m := re.match(r"(convs|to_rgbs)([ABC])\.(\d+)", name):
            if m[2] not in (path, "C"):
                continue
            shift = 0 if m[2] == path else low if m[1] == "convs" else low // 2
            name = f"{m[1]}.{int(m[3]) + shift}{name[m.end() :]}"
        plain[name] = value
    return plain


def _generator_name(name: str) -> str | None:
    if m := re.fullmatch(r"style\.([1-9]\d?)\.(weight|bias)", name):
        return f"mapping.fc{int(m[1]) - 1}.{m[2]}"
    if name == "input.input":
        return "synthesis.b4.const"
    if m := re.fullmatch(r"noises\.noise_(\d{1,2})", name):
        return f"{_layer(int(m[1]) - 1)}.noise_const"
    if m := re.fullmatch(r"(conv1|to_rgb1|convs\.(\d{1,2})|to_rgbs\.(\d{1,2}))\.(.+)", name):
        if m[4] in _LAYER_LEAVES:
            index = -1 if m[2] is None else int(m[2])
            rgb = 4 if m[1] == "to_rgb1" else 8 * 2 ** int(m[3]) if m[3] else None
            module = f"synthesis.b{rgb}.torgb" if rgb else _layer(index)
            return f"{module}.{_LAYER_LEAVES[m[4]]}"
    return None


def _layer(index: int) -> str:
    """Our layer for `convs.INDEX`; -1 is the first convolution, at 4 px."""
    if index < 0:
        return "synthesis.b4.conv1"
    return f"synthesis.b{8 * 2 ** (index // 2)}.conv{index % 2}"


def _without_leading_one(name: str, value: Tensor) -> Tensor:
    """Drop the axes of length one that these files have and ours have not."""
    if name.endswith("noise.weight"):
        ndim = 0
    elif name.startswith("noises."):
        ndim = 2
    elif name == "input.input":
        ndim = 3
    elif name.endswith(".conv.weight"):
        ndim = 4
    elif re.match(r"to_rgb(1|s\.\d+)\.bias", name):
        return value.reshape(-1)  # [1, 3, 1, 1]
    else:
        return value
    if any(length != 1 for length in value.shape[: value.ndim - ndim]):
        raise CheckpointError(
            f"{name} is {list(value.shape)}; at most the last {ndim} axes may be longer than 1: "
            "the file is damaged or of another kind"
        )
    return value.reshape(value.shape[value.ndim - ndim :] if ndim else ())


def _discriminator_name(name: str, size: int) -> str | None:
    if m := re.fullmatch(r"convs\.0\.(0\.weight|1\.bias)", name):
        return f"b{size}.fromrgb.{m[1][2:]}"
    if (m := re.fullmatch(r"convs\.(\d{1,2})\.(.+)", name)) and m[2] in _BLOCK_LEAVES:
        return f"b{size // 2 ** (int(m[1]) - 1)}.{_BLOCK_LEAVES[m[2]]}"
    return _END_LEAVES.get(name)
