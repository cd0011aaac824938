"""What the spaces mean: shapes, starts, priors, and the way back from ws."""

import pytest
import torch

from engine.errors import OptionError
from engine.inversion import SPACES, code_of, make_space
from engine.sefa import v_basis


@pytest.mark.parametrize("name", SPACES)
def test_start_and_ws_have_the_shapes_they_should(G, name):
    space = make_space(name, G)
    code = space.start(2)
    assert code.shape == space.code_shape(2) == ((2, 8, 16) if "+" in name else (2, 16))
    assert space.ws(code).shape == (2, G.num_ws, 16)
    assert torch.equal(make_space(name, G).start(2), code)


def test_starts_are_average_faces(G):
    w_avg = G.mapping(torch.randn(20_000, 16, generator=torch.Generator().manual_seed(9))).mean(0)
    starts = {name: make_space(name, G).ws(make_space(name, G).start(1))[0, 0] for name in SPACES}
    spread = make_space("w", G).w_spread
    for name in ("w", "w+"):
        assert (starts[name] - w_avg).norm() < 0.05 * spread
    for name in ("z", "z+"):  # the nearest of 10,000 samples
        assert (starts[name] - w_avg).norm() < 0.7 * spread
    assert make_space("v", G).start(1).norm() < 0.1  # the mean of many N(0, I): about zero
    average = make_space("v", G, from_average=True)
    torch.testing.assert_close(average.ws(average.start(1))[0, 0], starts["w"])


def test_layers_of_zplus_are_mapped_one_by_one(G):
    space = make_space("z+", G)
    z = torch.randn(2, 8, 16)
    torch.testing.assert_close(space.ws(z)[1, 5], G.mapping(z[1, 5][None])[0])


def test_v_multiplies_with_the_basis(G):
    v = torch.randn(2, 16)
    expected = v @ v_basis(G.state_dict())
    torch.testing.assert_close(make_space("v", G).ws(v)[:, 3], expected)


@pytest.mark.parametrize("name", ["w", "w+", "v"])
def test_code_of_is_the_way_back(G, name):
    space = make_space(name, G)
    code = torch.randn(space.code_shape(2))
    torch.testing.assert_close(code_of(space, space.ws(code)), code, rtol=1e-4, atol=1e-4)


def test_code_of_refuses_what_has_no_way_back(G):
    with pytest.raises(OptionError, match="space 'z'; accepted are w, w\\+ and v"):
        code_of(make_space("z", G), torch.zeros(1, 8, 16))
    with pytest.raises(OptionError, match=r"expected \['N', 8, 16\]"):
        code_of(make_space("w", G), torch.zeros(1, 8, 15))


def test_priors_are_one_for_typical_samples(G):
    z = torch.randn(5000, 16, generator=torch.Generator().manual_seed(3))
    assert make_space("z", G).prior(z).mean() == pytest.approx(1, abs=0.05)
    assert make_space("v", G).prior(torch.full((1, 16), 2.0)).item() == 4
    w = make_space("w", G)
    assert w.prior(G.mapping(z)).mean().item() == pytest.approx(1, abs=0.05)
    assert w.prior(w.start(1)).item() == 0
