"""NVIDIA's original StyleGAN2 pickles (TensorFlow): the tuple (G, D, Gs) of `dnnlib` networks.

Kernels are stored as height, width, in, out and are transposed; those of the up-convolutions are
flipped as well, because TensorFlow's code flips them before its transposed convolution. The bias of
a modulation is stored without its 1.
"""

import re

from torch import Tensor

from engine.checkpoints.nvidia import refuse_unusual
from engine.checkpoints.renaming import completed, renamed
from engine.checkpoints.tree import Found, State, Tree
from engine.errors import CheckpointError

_CONSTANT = re.compile(r"(?:G_)?synthesis/4x4/Const/const")
# The progressive growing of StyleGAN1 lives on in a variable that StyleGAN2 never reads.
_UNUSED = ("lod", "synthesis/lod", "G_synthesis/lod")
_GENERATOR = {
    "Conv0_up": "conv0",
    "Conv1": "conv1",
    "Conv": "conv1",
    "ToRGB": "torgb",
}
_DISCRIMINATOR = {
    "FromRGB": "fromrgb",
    "Conv0": "conv0",
    "Conv1_down": "conv1",
    "Skip": "skip",
    "Conv": "conv",
    "Dense0": "fc",
}
_LEAVES = {
    "weight": "weight",
    "bias": "bias",
    "mod_weight": "affine.weight",
    "mod_bias": "affine.bias",
    "noise_strength": "noise_strength",
}


def is_tensorflow(tree: Tree) -> bool:
    """Whether a file holds a StyleGAN of TensorFlow."""
    return _generator_place(tree) is not None or _discriminator_place(tree) is not None


def is_stylegan1(tree: Tree) -> bool:
    """Whether a file holds a StyleGAN of the first generation."""
    names = [name for state in tree.states.values() for name in state]
    return any("/StyleMod/" in name or "ToRGB_lod" in name for name in names)


def read(tree: Tree) -> Found:
    """Generator, preferably the averaged one (Gs), and discriminator."""
    parts: dict[str, State] = {}
    notes: tuple[str, ...] = ()
    if (place := _generator_place(tree)) is not None:
        refuse_unusual(tree, place)
        state = {n.replace("G_synthesis/", "synthesis/"): v for n, v in tree.states[place].items()}
        state = {n.replace("G_mapping/", "mapping/"): v for n, v in state.items()}
        ours = _ours(state, _generator_name, "a TensorFlow StyleGAN2 generator")
        parts["generator"], notes = completed(ours, None)
    if (place := _discriminator_place(tree)) is not None:
        refuse_unusual(tree, place)
        what = "a TensorFlow StyleGAN2 discriminator"
        parts["discriminator"] = _ours(tree.states[place], _discriminator_name, what)
    return Found(parts, notes=notes)


def _generator_place(tree: Tree) -> str | None:
    return tree.place(("Gs", "G_ema", "G"), lambda s: any(map(_CONSTANT.fullmatch, s)))


def _discriminator_place(tree: Tree) -> str | None:
    return tree.place(("D",), lambda s: "4x4/Dense0/weight" in s)


def _ours(state: State, name_of, what: str) -> dict[str, Tensor]:
    used = {name: value for name, value in state.items() if name not in _UNUSED}
    return renamed({n: _our_layout(n, v) for n, v in used.items()}, name_of, what)


def _our_layout(name: str, value: Tensor) -> Tensor:
    leaf = name.rsplit("/", 1)[-1]
    if leaf == "mod_bias":
        return value + 1
    if leaf in ("weight", "mod_weight"):
        if value.ndim == 4:
            value = value.flip(0, 1) if "/Conv0_up/" in name else value
            return value.permute(3, 2, 0, 1).contiguous()  # height, width, in, out
        if value.ndim == 2:
            return value.T.contiguous()
    elif leaf == "const" or leaf.startswith("noise") and leaf != "noise_strength":
        if value.ndim != 4:
            raise CheckpointError(f"{name} is {list(value.shape)}; four axes are expected")
        return value[0] if leaf == "const" else value[0, 0]
    return value


def _generator_name(name: str) -> str | None:
    if name == "dlatent_avg":
        return "mapping.w_avg"
    if name == "synthesis/4x4/Const/const":
        return "synthesis.b4.const"
    if m := re.fullmatch(r"mapping/Dense(\d{1,2})/(weight|bias)", name):
        return f"mapping.fc{m[1]}.{m[2]}"
    if m := re.fullmatch(r"synthesis/noise(\d{1,2})", name):
        index = int(m[1])  # 0 at 4 px, then two per resolution
        layer = f"b{4 * 2 ** ((index + 1) // 2)}.conv{(index - 1) % 2 if index else 1}"
        return f"synthesis.{layer}.noise_const"
    if m := re.fullmatch(r"synthesis/(\d{1,4})x\1/(\w+)/(\w+)", name):
        if m[2] in _GENERATOR and m[3] in _LEAVES:
            return f"synthesis.b{m[1]}.{_GENERATOR[m[2]]}.{_LEAVES[m[3]]}"
    return None


def _discriminator_name(name: str) -> str | None:
    if m := re.fullmatch(r"Output/(weight|bias)", name):
        return f"b4.out.{m[1]}"
    if (m := re.fullmatch(r"(\d{1,4})x\1/(\w+)/(weight|bias)", name)) and m[2] in _DISCRIMINATOR:
        return f"b{m[1]}.{_DISCRIMINATOR[m[2]]}.{m[3]}"
    return None
