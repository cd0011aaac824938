"""Noise regularisation by known values, normalisation, and the private view of a generator."""

import pytest
import torch

from engine.inversion.noise import PrivateGenerator, noise_regularization, normalized


def test_regularization_of_known_maps():
    """A constant map correlates fully with itself; doubling makes it 2 at half the size."""
    ones = torch.ones(2, 1, 8, 8)
    assert noise_regularization({"a": ones}).tolist() == [2.0, 2.0]
    assert noise_regularization({"a": torch.ones(1, 1, 16, 16)}).item() == 2 * 1 + 2 * (2 * 2) ** 2
    board = torch.ones(8, 8)
    board[::2, ::2] = board[1::2, 1::2] = -1
    assert noise_regularization({"a": board[None, None]}).item() == 2.0  # correlation -1, squared
    rows = torch.tensor([1.0, 1.0, -1.0, -1.0]).repeat(2)[:, None].expand(8, 8)
    assert noise_regularization({"a": rows[None, None]}).item() == 1.0  # along rows only


def test_regularization_adds_maps_and_keeps_pictures_apart():
    a, b = torch.randn(3, 1, 16, 16), torch.randn(3, 1, 8, 8)
    both = noise_regularization({"a": a, "b": b})
    alone = noise_regularization({"a": a[1:2]}) + noise_regularization({"b": b[1:2]})
    assert both[1].item() == pytest.approx(alone.item(), rel=1e-5)
    smooth = torch.nn.functional.interpolate(b, scale_factor=2)
    assert (noise_regularization({"a": normalized(smooth)}) > noise_regularization({"a": a})).all()


def test_normalized():
    x = normalized(3 + 5 * torch.randn(2, 1, 8, 8))
    torch.testing.assert_close(x.mean(dim=(2, 3)), torch.zeros(2, 1), atol=1e-6, rtol=0)
    torch.testing.assert_close(x.square().mean(dim=(2, 3)), torch.ones(2, 1))
    assert not normalized(torch.ones(1, 1, 4, 4)).any()


@torch.no_grad()
def test_private_view_shares_weights_and_draws_the_same(G):
    view = PrivateGenerator(G)
    ws = G.ws(torch.randn(2, 16))
    torch.testing.assert_close(view.draw(ws, view.stored_noise(2)), G.synthesis(ws))
    ours = dict(view.G.named_parameters())
    for name, parameter in G.named_parameters():
        assert ours[name].data_ptr() == parameter.data_ptr() and not ours[name].requires_grad
    drawn = view.drawn_noise(2, torch.Generator().manual_seed(0))
    picture = view.draw(ws, drawn)
    assert not torch.allclose(picture, G.synthesis(ws), atol=1e-3)
    drawn["b32.conv1"][1] += 1
    changed = view.draw(ws, drawn)
    assert torch.equal(changed[0], picture[0]) and not torch.allclose(changed[1], picture[1])
    torch.testing.assert_close(view.draw(ws, view.stored_noise(2)), G.synthesis(ws))
