"""Encoders of faces: pixel2style2pixel and its kin, encoder4editing, AgileGAN, and ArcFace.

pSp (W+), its sibling for Z+ (DualStyleGAN, VToonify) and e4e store the same names and shapes; what
the file says of its training tells some of them apart, for the rest the user has to.
"""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from engine.checkpoints import openmmlab, rosinality
from engine.checkpoints.openmmlab import under
from engine.checkpoints.renaming import listed
from engine.checkpoints.tree import Found, State, Tree
from engine.errors import CheckpointError


def is_arcface(tree: Tree) -> bool:
    """Whether a file is the identity network."""
    state = _table(tree)
    return "input_layer.0.weight" in state and "output_layer.3.weight" in state


def is_psp(tree: Tree) -> bool:
    """Whether a file may be a pSp encoder to W or W+."""
    return _may_be_pyramid(tree, e4e=False) or _is_backbone(_encoder(tree))


def is_psp_zplus(tree: Tree) -> bool:
    """Whether a file may be the pSp encoder to Z+ of DualStyleGAN."""
    return _may_be_pyramid(tree, e4e=False)


def is_e4e(tree: Tree) -> bool:
    """Whether a file may be an e4e encoder."""
    return _may_be_pyramid(tree, e4e=True)


def is_agilegan(tree: Tree) -> bool:
    """Whether a file holds a variational encoder."""
    return "fc_var.weight" in _encoder(tree)


def is_facestylor(tree: Tree) -> bool:
    """Whether a file holds FaceStylor's encoder, which kept the mean of AgileGAN's only."""
    return "fc_mu.weight" in _encoder(tree) and not is_agilegan(tree)


def read_arcface(tree: Tree) -> Found:
    """The identity network, from its flat file."""
    return Found({"identity": _table(tree)})


def read_psp(tree: Tree) -> Found:
    """Encoder to W or W+ with the mean code it adds, and the generator it was trained for."""
    encoder = _encoder(tree)
    to_w = _is_backbone(encoder) and "output_layer_2.3.weight" not in encoder
    found = _with_decoder(tree, encoder, rosinality.centre(tree))
    return _adding_mean(tree, found, "w" if to_w else "w+")


def read_psp_zplus(tree: Tree) -> Found:
    """Encoder to Z+ with the mean code it adds, and the generator it was trained for."""
    return _adding_mean(tree, _with_decoder(tree, _encoder(tree), None), "z+")


def read_e4e(tree: Tree) -> Found:
    """Encoder to W+ as one code and offsets to it, at its last stage of training."""
    found = read_psp(tree)
    encoder = found.parts["encoder"]
    stage = torch.tensor(_num_heads(encoder) - 1)
    return replace(found, parts={**found.parts, "encoder": {**encoder, "progressive_stage": stage}})


def read_agilegan(tree: Tree) -> Found:
    """Variational encoder to Z+, and the generator whose mapping takes its codes to W+.

    The file's latent_avg is dropped: AgileGAN's code loads it and never adds it.
    """
    found = _with_decoder(tree, _encoder(tree), None)
    notes = found.notes
    if tree.latent_avg() is not None:
        notes += ("latent_avg left out: AgileGAN's codes are used without it",)
    return replace(found, config={**found.config, "encoder_space": "z+"}, notes=notes)


def read_facestylor(tree: Tree) -> Found:
    """FaceStylor's encoder to Z+, which answers a mean without a variance, and its generator."""
    found = read_agilegan(tree)
    note = "FaceStylor's encoder kept the mean of the posterior only: it is deterministic"
    return replace(found, notes=(*found.notes, note))


def _with_decoder(tree: Tree, encoder: State, w_avg: Tensor | None) -> Found:
    """Encoder and decoder; heads beyond the decoder's layers are dropped.

    w_avg: the decoder's mean w where the file tells it; codes of Z+ have another mean.
    """
    state = _table(tree)
    decoder = under(state, "decoder.")
    in_use = ("encoder.", "decoder.") if under(state, "encoder.") else tuple(encoder)
    others = sorted({n.split(".")[0] for n in state if not n.startswith(in_use)})
    if openmmlab.is_facestylor_decoder(state):
        generator, notes = openmmlab.generator(decoder)
        notes += (f"left out: {listed(others)}",) * bool(others)  # the networks of its losses
    elif others:
        raise CheckpointError(
            f"next to encoder.* and decoder.* the file holds {listed(others)}; such a file is not "
            "known: is it of another project?"
        )
    elif decoder:
        generator, notes = rosinality.generator(decoder, w_avg)
    else:
        return Found({"encoder": encoder})
    encoder, dropped = _fitting(encoder, generator)
    return Found({"encoder": encoder, "generator": generator}, notes=(*notes, *dropped))


def _adding_mean(tree: Tree, found: Found, space: str) -> Found:
    """Keep the file's mean code in the encoder, which adds it, where the public code does."""
    config, notes = {**found.config, "encoder_space": space}, found.notes
    encoder, mean = found.parts["encoder"], tree.latent_avg()
    if not tree.opts.get("start_from_latent_avg", mean is not None):
        return replace(found, config=config)
    if mean is None:
        generator = found.parts.get("generator")
        if space == "z+" or not isinstance(generator, Mapping):
            raise CheckpointError(
                "the file's options say start_from_latent_avg, but it has no latent_avg to add to "
                "the codes: it is incomplete, use the file as it was published"
            )
        mean = generator["mapping.w_avg"][None]
        notes += ("no latent_avg to add to the codes: the mean of w is added in its place",)
    rows = 1 if space == "w" or len(mean) == 1 else _num_codes(encoder)
    parts = {**found.parts, "encoder": {**encoder, "latent_avg": mean[:rows]}}
    return replace(found, parts=parts, config=config, notes=notes)


def _fitting(encoder: State, generator: State) -> tuple[State, tuple[str, ...]]:
    """Drop heads beyond the layers of the generator: the public code ignores their codes."""
    num_ws = 2 * sum(name.endswith("torgb.bias") for name in generator)
    surplus = [f"styles.{i}." for i in range(num_ws, _num_heads(encoder))]
    if not surplus:
        return encoder, ()
    kept = {n: v for n, v in encoder.items() if not n.startswith(tuple(surplus))}
    return kept, (f"the generator has {num_ws} layers: {len(surplus)} more heads were dropped",)


def _may_be_pyramid(tree: Tree, *, e4e: bool) -> bool:
    """Whether a deterministic feature pyramid may be e4e's, or else one of pSp's."""
    encoder, opts = _encoder(tree), tree.opts
    if _num_heads(encoder) == 0 or "fc_mu.weight" in encoder:
        return False
    kind = opts.get("encoder_type")
    if kind is None and "stylegan_size" in opts:  # pSp calls it output_size
        kind = "Encoder4Editing"
    return kind is None or (kind == "Encoder4Editing") == e4e


def _is_backbone(encoder: State) -> bool:
    """Whether codes are read off the end of the trunk, by one linear layer."""
    return "linear.weight" in encoder and _num_heads(encoder) == 0


def _encoder(tree: Tree) -> State:
    """The encoder's tensors, {} if there is none."""
    state = _table(tree)
    bare = state if "output_layer.3.weight" not in state else {}
    encoder = under(state, "encoder.") or bare
    return encoder if "input_layer.0.weight" in encoder else {}


def _table(tree: Tree) -> State:
    return tree.states.get("state_dict") or tree.states.get("", {})


def _num_heads(encoder: State) -> int:
    return sum(n.startswith("styles.") and n.endswith(".linear.weight") for n in encoder)


def _num_codes(encoder: State) -> int:
    if heads := _num_heads(encoder):
        return heads
    weight = encoder["linear.weight"]
    return weight.shape[0] // weight.shape[-1]
