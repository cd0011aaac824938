"""Public files with drawn weights, through the reader, against what the public programs compute."""

import pytest
import torch
from torch import Tensor

from engine.checkpoints import Checkpoint, Contents, recognise
from engine.latent import blend
from engine.models.irse import identity_crop


def tensors(arrays: dict) -> dict[str, Tensor]:
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def encoder_file(case, kind: str | None = None, **opts: object) -> Checkpoint:
    """The case's encoder in the container of pSp and its kin."""
    return recognise(Contents("torch", {"state_dict": tensors(case.weights), "opts": opts}), kind)


@pytest.mark.slow
@torch.no_grad()
@pytest.mark.parametrize(
    "name, encoder_type, kind",
    [
        ("psp_wplus_encoder", "GradualStyleEncoder", "psp"),
        ("psp_w_encoder", "BackboneEncoderUsingLastLayerIntoW", None),
        ("e4e_encoder", "Encoder4Editing", None),
    ],
)
def test_deterministic_encoders(golden, name: str, encoder_type: str, kind: str | None):
    case = golden(name)
    checkpoint = encoder_file(case, kind, encoder_type=encoder_type)
    assert checkpoint.config["encoder_space"] == ("w" if name == "psp_w_encoder" else "w+")
    case.check("codes", checkpoint.build()["encoder"](torch.from_numpy(case.inputs["image"])))


@pytest.mark.slow
@torch.no_grad()
def test_agilegan_encoder(golden):
    case = golden("agilegan_encoder")
    checkpoint = encoder_file(case, encoder_type="VAEStyleEncoder", start_from_latent_avg=True)
    assert checkpoint.kind == "agilegan-encoder"
    encoder = checkpoint.build()["encoder"]
    mu, logvar = encoder.posterior(torch.from_numpy(case.inputs["image"]))
    case.check("mu", mu)
    case.check("logvar", logvar)


@torch.no_grad()
def test_arcface(golden):
    case = golden("arcface_ir_se50")
    network = recognise(Contents("torch", tensors(case.weights))).build()["identity"]
    case.check("embedding", network(torch.from_numpy(case.inputs["face"])))
    crop = identity_crop(torch.from_numpy(case.inputs["image256"]))
    case.check("embedding_from256", network(crop))


@pytest.mark.slow
@torch.no_grad()
def test_agilegan_style(golden):
    case = golden("agilegan_dual_generator")
    checkpoint = recognise(Contents("torch", {"g_ema": tensors(case.weights)}))
    assert checkpoint.config["attributes"] == ("female", "male")
    generator = checkpoint.build()["generator"]
    ws = generator.mapping(torch.from_numpy(case.inputs["zplus"])[0])[None]  # Z+ row by row
    case.check("ws", ws)
    for path, name in enumerate(("image_a", "image_b")):
        case.check(name, generator.synthesis(ws, path=path), 1e-3)


@pytest.mark.slow
@torch.no_grad()
def test_blendgan(golden):
    """The largest: 1.5 GB of weights, and as much again as networks."""
    case = golden("blendgan_generator")
    networks = recognise(Contents("torch", {"g_ema": tensors(case.weights)})).build()
    inputs, generator = tensors(case.inputs), networks["generator"]
    z_style = networks["style_encoder"](inputs["style_image"])
    case.check("z_style", z_style)

    def image(z: Tensor, indicator: int) -> Tensor:
        face = networks["blend_weights"].clone()
        face[:indicator] = 1
        ws_style = networks["style_mapping"](z)[:, None].expand(-1, generator.num_ws, -1)
        return generator.synthesis(blend(inputs["ws_face"], ws_style, 1 - face))

    case.check("image_i6", image(z_style, 6), 1e-3)
    case.check("image_learned", image(inputs["z_style_random"], 0), 1e-3)
    case.check("image_i18", image(z_style, 18), 1e-3)


@torch.no_grad()
def test_ui2i_layer_swap(golden):
    """Features of the source generator go into the target's before that block's ToRGB."""
    case = golden("ui2i_swap_256")
    weights, inputs = tensors(case.weights), tensors(case.inputs)
    source, target = (
        recognise(
            Contents(
                "torch",
                {"g_ema": {n.removeprefix(p): w for n, w in weights.items() if n.startswith(p)}},
            )
        ).build()["generator"]
        for p in ("source.", "target.")
    )
    content = inputs["w_content"][:, None].expand(-1, source.num_ws, -1)
    style = source.ws(inputs["z_style"])
    for swap_layer, side in ((1, 8), (3, 16), (5, 32)):
        features = source.synthesis.features(content, until=side)
        case.check(f"feature_swap{swap_layer}", features[:, ::8])
        picture = target.synthesis(style, replace={side: features})
        case.check(f"image_swap{swap_layer}", picture)
