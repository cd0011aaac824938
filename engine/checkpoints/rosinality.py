"""rosinality/stylegan2-pytorch: its names of generator and discriminator -> ours.

Weights are renamed and reshaped, never rescaled: both conventions store raw weights and apply the
equalised learning rate at run time.
"""

import re
from collections.abc import Mapping

import torch

from engine.errors import CheckpointError

State = Mapping[str, torch.Tensor]

_LAYER_LEAVES = {
    "conv.weight": "weight",
    "conv.modulation.weight": "affine.weight",
    "conv.modulation.bias": "affine.bias",
    "noise.weight": "noise_strength",
    "activate.bias": "bias",
    "bias": "bias",  # of ToRGB
}
_CONSTANTS = re.compile(r"(blur|upsample)\.kernel$|conv2\.0\.kernel$|skip\.0\.kernel$")


def generator_from_rosinality(
    state: State, latent_avg: torch.Tensor | None = None
) -> dict[str, torch.Tensor]:
    """State of a rosinality `g_ema` in our names.

    Args:
        state: names `style.1.weight`, `convs.0.conv.weight`, ... with or without noise buffers;
            missing ones are drawn afresh from a fixed seed (rosinality's 256 px file has none).
        latent_avg: [512], the truncation centre; the file keeps it beside the state. Zero if None.

    Raises:
        CheckpointError: a name is not one of this format.
    """
    renamed = {"mapping.w_avg": torch.zeros(512) if latent_avg is None else latent_avg.reshape(-1)}
    for name, value in state.items():
        if _CONSTANTS.search(name):
            continue
        renamed[_generator_name(name)] = _without_leading_one(name, value)
    return renamed | _missing_noise(renamed)


def discriminator_from_rosinality(state: State) -> dict[str, torch.Tensor]:
    """State of a rosinality `d` in our names.

    Raises:
        CheckpointError: a name is not one of this format.
    """
    blocks = [int(m[1]) for name in state if (m := re.match(r"convs\.(\d+)\.", name))]
    size = 4 * 2 ** max(blocks, default=0)
    kept = {name: value for name, value in state.items() if not _CONSTANTS.search(name)}
    return {_discriminator_name(name, size): value for name, value in kept.items()}


def _generator_name(name: str) -> str:
    if m := re.fullmatch(r"style\.(\d+)\.(weight|bias)", name):
        return f"mapping.fc{int(m[1]) - 1}.{m[2]}"
    if name == "input.input":
        return "synthesis.b4.const"
    if m := re.fullmatch(r"noises\.noise_(\d+)", name):
        return f"{_layer(int(m[1]) - 1)}.noise_const"
    if m := re.fullmatch(r"(conv1|to_rgb1|convs\.(\d+)|to_rgbs\.(\d+))\.(.+)", name):
        if m[4] in _LAYER_LEAVES:
            index = -1 if m[2] is None else int(m[2])
            rgb = 4 if m[1] == "to_rgb1" else 8 * 2 ** int(m[3]) if m[3] else None
            module = f"synthesis.b{rgb}.torgb" if rgb else _layer(index)
            return f"{module}.{_LAYER_LEAVES[m[4]]}"
    raise CheckpointError(
        f"{name!r} is no tensor of a rosinality StyleGAN2 generator; names such as "
        "convs.0.conv.weight are expected: is this another kind of checkpoint?"
    )


def _layer(index: int) -> str:
    """Our layer for `convs.INDEX`; -1 is the first convolution, at 4 px."""
    if index < 0:
        return "synthesis.b4.conv1"
    return f"synthesis.b{8 * 2 ** (index // 2)}.conv{index % 2}"


def _without_leading_one(name: str, value: torch.Tensor) -> torch.Tensor:
    if name.endswith("noise.weight"):
        return value.reshape(())
    if name.startswith("noises."):
        return value[0, 0]
    if name == "input.input" or name.endswith(".conv.weight"):
        return value[0]
    return value.reshape(-1) if value.ndim == 4 else value  # ToRGB's bias is [1, 3, 1, 1]


def _missing_noise(renamed: State) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    drawn = {}
    for name in renamed:
        if m := re.fullmatch(r"(synthesis\.b(\d+)\.conv[01])\.noise_strength", name):
            buffer, size = f"{m[1]}.noise_const", int(m[2])
            if buffer not in renamed:
                drawn[buffer] = torch.randn(size, size, generator=generator)
    return drawn


def _discriminator_name(name: str, size: int) -> str:
    if m := re.fullmatch(r"convs\.0\.(0\.weight|1\.bias)", name):
        return f"b{size}.fromrgb.{m[1][2:]}"
    leaves = {
        "conv1.0.weight": "conv0.weight",
        "conv1.1.bias": "conv0.bias",
        "conv2.1.weight": "conv1.weight",
        "conv2.2.bias": "conv1.bias",
        "skip.1.weight": "skip.weight",
    }
    if (m := re.fullmatch(r"convs\.(\d+)\.(.+)", name)) and m[2] in leaves:
        return f"b{size // 2 ** (int(m[1]) - 1)}.{leaves[m[2]]}"
    ends = {"final_conv.0.weight": "b4.conv.weight", "final_conv.1.bias": "b4.conv.bias"}
    ends |= {f"final_linear.0.{leaf}": f"b4.fc.{leaf}" for leaf in ("weight", "bias")}
    ends |= {f"final_linear.1.{leaf}": f"b4.out.{leaf}" for leaf in ("weight", "bias")}
    if name in ends:
        return ends[name]
    raise CheckpointError(
        f"{name!r} is no tensor of a rosinality StyleGAN2 discriminator; names such as "
        "convs.1.conv1.0.weight are expected: is this another kind of checkpoint?"
    )
