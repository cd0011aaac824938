"""BlendGAN's style encoder and its second mapping; the reader tests its public file whole."""

import pytest
import torch

from engine.errors import CheckpointError, ImageError
from engine.models.blendgan import StyleEncoder, gram, style_encoder_from_state
from engine.models.stylegan2 import MappingNetwork, mapping_from_state

TINY = {"widths": (4, 6, 8), "depths": (1, 2, 1), "hidden": (16, 12), "style_dim": 10}
PUBLIC_FEATURES = "embedder.embedder.feature_extractor.vgg_layers."
PUBLIC_MLP = "embedder.embedder_mlp."


def tiny() -> StyleEncoder:
    torch.manual_seed(0)
    return StyleEncoder(**TINY, input_size=16).eval()


def pictures(side: int = 16) -> torch.Tensor:
    return torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(1)) * 2 - 1


def test_gram_known_value():
    """Two channels that are constant over 3 x 4 places: products, by C H W = 24, of 12 places."""
    x = torch.tensor([2.0, -3.0]).reshape(1, 2, 1, 1).expand(1, 2, 3, 4)
    torch.testing.assert_close(gram(x), torch.tensor([[[2.0, -3.0], [-3.0, 4.5]]]))


def test_every_stage_is_read_after_its_last_activation():
    encoder = tiny()
    assert encoder.taps == (1, 6, 9)
    x, grams = pictures(), []
    for index, layer in enumerate(encoder.features):
        x = layer(x)
        grams += [gram(x).flatten(1)] if index in encoder.taps else []
    assert encoder.grams(pictures()).shape == (2, 4**2 + 6**2 + 8**2)
    torch.testing.assert_close(encoder.grams(pictures()), torch.cat(grams, 1))
    assert encoder(pictures()).shape == (2, 10)


def test_pictures_of_any_size_are_pooled():
    encoder, large = tiny(), pictures(32)
    pooled = torch.nn.functional.avg_pool2d(large, 2)
    torch.testing.assert_close(encoder(large), encoder(pooled))


def test_sizes_are_read_off_the_weights():
    encoder = tiny()
    again = style_encoder_from_state(encoder.state_dict(), input_size=16)
    assert (again.widths, again.depths, again.style_dim) == ((4, 6, 8), (1, 2, 1), 10)
    torch.testing.assert_close(again(pictures()), encoder(pictures()))
    again.mlp[0].weight.zero_()  # its own memory, not the file's
    assert encoder.mlp[0].weight.abs().sum() > 0


def test_gradient_reaches_every_parameter():
    encoder = tiny()
    encoder(pictures()).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in encoder.parameters())


def test_wrong_weights_and_pictures_are_refused():
    with pytest.raises(CheckpointError, match="no style encoder in these 1 tensors"):
        style_encoder_from_state({"fc0.weight": torch.zeros(1)})
    state = tiny().state_dict()
    state["mlp.1.bias"] = torch.zeros(3)
    with pytest.raises(CheckpointError, match=r"mlp.1.bias is \[3\], expected \[12\]"):
        style_encoder_from_state(state)
    with pytest.raises(ImageError, match=r"\[2, 1, 16, 16\]; expected \[N, 3, H, W\]"):
        tiny()(torch.zeros(2, 1, 16, 16))


def test_second_mapping_stands_alone():
    torch.manual_seed(0)
    mapping, z = MappingNetwork(6, 8, 3), torch.randn(2, 6)
    state = {k: v for k, v in mapping.state_dict().items() if k != "w_avg"}
    torch.testing.assert_close(mapping_from_state(state)(z), mapping(z))
    with pytest.raises(CheckpointError, match="no mapping network"):
        mapping_from_state({})


def test_full_size_has_the_public_names_and_shapes(shared):
    with torch.device("meta"):
        encoder = StyleEncoder()
    ours = {name: str(tuple(value.shape)) for name, value in encoder.state_dict().items()}
    text = (shared / "formats" / "keys" / "blendgan_G1024.txt").read_text(encoding="utf-8")
    rows = [line.split("\t") for line in text.splitlines() if "embedder." in line]
    rows = [
        (r[0].replace(PUBLIC_FEATURES, "features.").replace(PUBLIC_MLP, "mlp."), r) for r in rows
    ]
    assert ours == {name: row[1] for name, row in rows}
