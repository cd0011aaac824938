"""Latent arithmetic: known values, shapes, the Z+ trap, reproducible sampling, messages."""

import pytest
import torch

from engine.errors import OptionError
from engine.latent import blend, map_zplus, mix, reparameterize, slerp, truncate


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_truncate_moves_towards_the_average():
    ws, w_avg = draw(2, 6, 8), draw(8, seed=1)
    assert torch.equal(truncate(ws, w_avg, 0.0), w_avg.expand(2, 6, 8))
    torch.testing.assert_close(truncate(ws, w_avg, 1.0), ws)
    torch.testing.assert_close(truncate(ws, w_avg, 0.5), (ws + w_avg) / 2)


def test_truncate_stops_at_the_cutoff():
    ws, w_avg = draw(1, 6, 8), torch.zeros(8)
    result = truncate(ws, w_avg, 0.5, cutoff=2)
    torch.testing.assert_close(result[:, :2], ws[:, :2] / 2)
    assert torch.equal(result[:, 2:], ws[:, 2:])


def test_truncate_takes_one_average_per_layer():
    ws, w_avg = draw(1, 6, 8), draw(6, 8, seed=1)
    assert torch.equal(truncate(ws, w_avg, 0.0), w_avg[None])


def test_blend_weights_each_layer():
    a, b = torch.zeros(2, 3, 4), torch.ones(2, 3, 4)
    result = blend(a, b, [0.0, 0.25, 1.0])
    assert result[:, :, 0].tolist() == [[0.0, 0.25, 1.0]] * 2
    assert torch.equal(blend(a, b, 0.5), torch.full((2, 3, 4), 0.5))


def test_blend_refuses_weights_of_another_length():
    with pytest.raises(OptionError, match=r"\[2\] for 3 layers; expected one number"):
        blend(torch.zeros(1, 3, 4), torch.ones(1, 3, 4), [0.0, 1.0])


@pytest.mark.parametrize("layer", [0, 2, 3])
def test_mix_switches_at_the_layer(layer: int):
    result = mix(torch.zeros(1, 3, 4), torch.ones(1, 3, 4), layer)
    assert result[0, :, 0].tolist() == [0.0] * layer + [1.0] * (3 - layer)


def test_mix_refuses_what_does_not_exist():
    codes = torch.zeros(1, 3, 4)
    with pytest.raises(OptionError, match="mixing layer 4 is outside of 0 .. 3"):
        mix(codes, codes, 4)
    with pytest.raises(OptionError, match=r"a \[1, 3, 4\], b \[1, 2, 4\]; expected"):
        mix(codes, codes[:, :2], 1)


def test_slerp_follows_the_circle():
    a, b = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 4.0]])
    half = 3 * 0.5**0.5  # the mean length, at 45 degrees
    torch.testing.assert_close(slerp(a, b, 0.5), torch.tensor([[half, half]]))
    torch.testing.assert_close(slerp(a, b, 0.0), a)
    torch.testing.assert_close(slerp(a, b, 1.0), b)


def test_slerp_keeps_the_norm_of_gaussian_codes():
    a, b = draw(2, 6, 512), draw(2, 6, 512, seed=1)
    norms = slerp(a, b, 0.3).norm(dim=-1)
    torch.testing.assert_close(norms, torch.lerp(a.norm(dim=-1), b.norm(dim=-1), 0.3))


def test_slerp_of_parallel_or_zero_vectors_is_straight():
    a = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    torch.testing.assert_close(slerp(a, 3 * a, 0.5), 2 * a)


def test_map_zplus_maps_each_code_alone():
    def mapping(z: torch.Tensor) -> torch.Tensor:  # normalises over dimension 1, as they all do
        return z * torch.rsqrt(z.square().mean(dim=1, keepdim=True) + 1e-8)

    z_plus = draw(2, 6, 16)
    ws = map_zplus(mapping, z_plus)
    assert ws.shape == (2, 6, 16)
    torch.testing.assert_close(ws[1, 3], mapping(z_plus[1, 3:4])[0])
    assert not torch.allclose(ws, mapping(z_plus))  # the trap: over the layers


def test_map_zplus_refuses_plain_z():
    with pytest.raises(OptionError, match=r"z_plus \[2, 16\]; expected \[N, L, 512\]"):
        map_zplus(lambda z: z, draw(2, 16))


def test_reparameterize_is_reproducible_and_has_the_moments():
    mu, logvar = torch.full((4, 6, 512), 3.0), torch.full((4, 6, 512), 2.0).log()
    first = reparameterize(mu, logvar, torch.Generator().manual_seed(7))
    again = reparameterize(mu, logvar, torch.Generator().manual_seed(7))
    assert torch.equal(first, again)
    assert first.mean().item() == pytest.approx(3.0, abs=0.05)
    assert first.var().item() == pytest.approx(2.0, abs=0.1)


def test_reparameterize_passes_the_gradient():
    mu = draw(1, 2, 8).requires_grad_()
    logvar = draw(1, 2, 8, seed=1).requires_grad_()
    reparameterize(mu, logvar, torch.Generator().manual_seed(0)).sum().backward()
    torch.testing.assert_close(mu.grad, torch.ones_like(mu))
    epsilon = torch.randn((1, 2, 8), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(logvar.grad, 0.5 * epsilon * torch.exp(0.5 * logvar.detach()))
