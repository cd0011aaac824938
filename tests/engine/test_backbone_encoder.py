"""Encoders that read their codes off the trunk's last feature map: W and naive W+."""

from pathlib import Path

import pytest
import torch

from engine.errors import CheckpointError, ImageError
from engine.models.backbone_encoder import WEncoder, WPlusEncoder
from engine.models.encoder import encoder_from_state
from tests.engine.test_encoder import pictures, public_keys

TINY = {"input_size": 32, "widths": (4, 4, 6, 8, 12), "units": (1, 2, 1, 1)}


def tiny(kind: type, *sizes: int) -> WEncoder | WPlusEncoder:
    torch.manual_seed(0)
    return kind(*sizes, **TINY).eval()


CASES = [(WEncoder, (16,), (2, 16), 1), (WPlusEncoder, (5, 16), (2, 5, 16), 5)]


@pytest.mark.parametrize("kind, sizes, shape, num_ws", CASES)
def test_kind_and_sizes_are_read_off_the_weights(kind, sizes, shape, num_ws):
    encoder = tiny(kind, *sizes)
    again = encoder_from_state(encoder.state_dict(), input_size=32).eval()
    assert type(again) is kind
    found = (again.num_ws, again.style_dim, again.input_size, again.variational)
    assert found == (num_ws, 16, 32, False)
    assert again(pictures()).shape == shape
    torch.testing.assert_close(again(pictures()), encoder(pictures()))


@pytest.mark.parametrize("kind, sizes, shape, num_ws", CASES)
def test_average_is_added(kind, sizes, shape, num_ws):
    encoder, average = tiny(kind, *sizes), torch.randn(1, 16)
    state = encoder.state_dict() | {"latent_avg": average}
    again = encoder_from_state(state, input_size=32).eval()
    torch.testing.assert_close(again(pictures()), encoder(pictures()) + average)


def test_w_code_is_the_average_of_all_cells():
    """Mirroring the last features changes nothing: the code has no place in it."""
    encoder = tiny(WEncoder, 16)
    features = encoder.stages(pictures())[-1]
    encoder.stages = lambda image: [features.flip(3)]
    mirrored = encoder(pictures())
    encoder.stages = lambda image: [features]
    torch.testing.assert_close(encoder(pictures()), mirrored)


def test_messages_name_the_remedy():
    with pytest.raises(ImageError, match=r"\[2, 3, 64, 64\]; expected \['N', 3, 32, 32\]"):
        tiny(WEncoder, 16)(pictures(side=64))
    state = tiny(WEncoder, 16).state_dict()
    with pytest.raises(CheckpointError, match="backbone encoder: surplus is unexpected"):
        encoder_from_state(state | {"surplus": torch.zeros(1)})
    with pytest.raises(CheckpointError, match=r"expected \[1, 16\]"):
        encoder_from_state(state | {"latent_avg": torch.zeros(18, 16)})


@pytest.mark.parametrize(
    "name, kind, sizes",
    [
        ("psp_BackboneEncoderUsingLastLayerIntoW.txt", WEncoder, ()),
        ("psp_BackboneEncoderUsingLastLayerIntoWPlus.txt", WPlusEncoder, (18,)),
    ],
)
def test_full_size_has_the_public_names_and_shapes(shared: Path, name, kind, sizes):
    with torch.device("meta"):
        encoder = kind(*sizes)
    ours = {key: str(tuple(value.shape)) for key, value in encoder.state_dict().items()}
    assert ours == public_keys(shared, name)
