"""OpenMMLab's mmgeneration, and MMGEN-FaceStylor's re-implementation of AgileGAN on top of it.

Its StyleGAN2 is rosinality's under longer names. It draws BGR: the channels of every ToRGB are
reversed here, and those the discriminator reads, so that ours draws and reads RGB.
"""

import re

from torch import Tensor

from engine.checkpoints import rosinality
from engine.checkpoints.tree import Found, State, Tree

_NETWORKS = ("generator_ema.", "generator.", "decoder.", "discriminator.", "encoder.")
_SHORTER = (  # in this order
    (r"^style_mapping\.", "style."),
    (r"^constant_input\.", "input."),
    (r"^injected_noise_", "noises.noise_"),
    (r"\.style_modulation\.", ".modulation."),
    (r"\.noise_injector\.", ".noise."),
    (r"\.linear\.weight_orig$", ".weight"),
    (r"\.weight_orig$", ".weight"),
)


def under(state: State, prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin with `prefix`, without it."""
    return {n.removeprefix(prefix): v for n, v in state.items() if n.startswith(prefix)}


def is_gan(tree: Tree) -> bool:
    """Whether a file holds mmgeneration's StyleGAN2 without FaceStylor's encoder."""
    state = _table(tree)
    return _generator_prefix(state) is not None and "encoder.fc_mu.weight" not in state


def is_facestylor_decoder(state: State) -> bool:
    """Whether these tensors hold mmgeneration's generator as `decoder.`."""
    return _generator_prefix(state) == "decoder."


def read_gan(tree: Tree) -> Found:
    """Generator, preferably the averaged one, and discriminator."""
    state = _table(tree)
    prefix = _generator_prefix(state)
    parts = {}
    parts["generator"], notes = generator(under(state, prefix))
    if trained := under(state, "discriminator."):
        parts["discriminator"] = _discriminator(trained)
    other = sorted({n.split(".")[0] for n in state if not n.startswith(_NETWORKS)})
    notes += (f"left out: {', '.join(other)}",) * bool(other)
    return Found(parts, notes=notes)


def generator(state: State) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """A generator that draws RGB, in our names, completed, with notes.

    Raises:
        CheckpointError: names are not of this format.
    """
    ours, notes = rosinality.generator({_shorter(n): v for n, v in state.items()}, None)
    for name in ours:
        if re.search(r"\.torgb\.(weight|bias)$", name):
            ours[name] = ours[name].flip(0)
    return ours, (
        *notes,
        "OpenMMLab's generator draws BGR: its output channels were reversed to RGB",
        "OpenMMLab normalises z by RMS + 1e-6, we by the root of mean square + 1e-8: the same to "
        "about 1e-6",
    )


def _discriminator(state: State) -> dict[str, Tensor]:
    # Adaptive augmentation is a wrapper in FaceStylor, with filters of its own.
    trained = {
        _shorter(name).replace(".conv.weight", ".weight"): value
        for name, value in state.items()
        if not name.startswith("ada_aug.")
    }
    ours = rosinality.discriminator(trained)
    [first] = [name for name in ours if name.endswith("fromrgb.weight")]
    return ours | {first: ours[first].flip(1)}


def _shorter(name: str) -> str:
    """rosinality's name for one of these."""
    for pattern, short in _SHORTER:
        name = re.sub(pattern, short, name)
    return name


def _table(tree: Tree) -> State:
    return tree.states.get("state_dict") or tree.states.get("", {})


def _generator_prefix(state: State) -> str | None:
    prefixes = ("generator_ema.", "generator.", "decoder.", "")
    return next((p for p in prefixes if p + "constant_input.input" in state), None)
