"""What train.style_encoder and train.blend measure: known values, gradients, no colour changed."""

import math

import pytest
import torch
import torch.nn.functional as F

from train.contrast import ProjectionHead, affine_view, agreement, nt_xent
from train.projection import ProjectionDiscriminator, projection

CHANNELS = {4: 6, 8: 5, 16: 4}


def test_nt_xent_of_two_pairs_by_hand():
    """Pairs at angles 0 and 90 degrees: each row has its partner at cosine 1, two others at 0."""
    a = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    t = 0.5
    expected = -math.log(math.exp(1 / t) / (math.exp(1 / t) + 2))
    assert math.isclose(float(nt_xent(a, 3 * a, t)), expected, abs_tol=1e-6)


def test_nt_xent_agrees_with_its_definition():
    torch.manual_seed(0)
    a, b, t = torch.randn(5, 7), torch.randn(5, 7), 0.3
    z, terms = torch.cat([a, b]), []
    for i in range(10):
        similar = torch.stack([F.cosine_similarity(z[i], z[k], dim=0) for k in range(10)]) / t
        others = [k for k in range(10) if k != i]
        terms.append(-similar[(i + 5) % 10] + similar[others].logsumexp(0))
    assert torch.isclose(nt_xent(a, b, t), torch.stack(terms).mean())


def test_nt_xent_that_tells_nothing_apart():
    same = torch.ones(4, 3)
    assert math.isclose(float(nt_xent(same, same, 0.1)), math.log(7), abs_tol=1e-5)


def test_nt_xent_gradient():
    torch.manual_seed(0)
    a, b = (torch.randn(3, 4, dtype=torch.float64, requires_grad=True) for _ in range(2))
    assert torch.autograd.gradcheck(lambda x, y: nt_xent(x, y, 0.5), (a, b))


def test_agreement_counts_the_own_view():
    a = torch.eye(4)
    assert agreement(a, a[[0, 1, 3, 2]]) == 0.5


def test_views_change_the_place_and_not_the_colours():
    """Two colours in, mixtures of the two out; of one colour nothing is left to see."""
    generator = torch.Generator().manual_seed(0)
    one = torch.tensor([0.3, -0.7, 0.9]).reshape(1, 3, 1, 1).expand(6, 3, 16, 16)
    torch.testing.assert_close(affine_view(one, generator), one)
    halves = one.clone()
    halves[..., :8] = -one[..., :8]
    seen = affine_view(halves, generator)
    share = seen / one  # -1 .. 1 and the same in all channels
    assert share.abs().max() <= 1 + 1e-5
    torch.testing.assert_close(share[:, 0], share[:, 1])
    assert len({round(float(x), 4) for x in seen.mean((1, 2, 3))}) == 6  # each moved by itself


def test_views_follow_the_generator():
    x = torch.randn(2, 3, 8, 8)
    first, second = (affine_view(x, torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(first, second)


def test_projection_adds_the_inner_product():
    """With l_out at zero the score is <l_style(z), h>: linear in l_style(z)."""
    torch.manual_seed(0)
    D = ProjectionDiscriminator(16, channels=CHANNELS, style_dim=3)
    image, z = torch.randn(2, 3, 16, 16), torch.randn(2, 3)
    plain = D(image, torch.zeros(2, 3))  # l_style has no bias yet: l_out alone
    once, twice = D(image, z) - plain, D(image, 2 * z) - plain
    assert once.shape == (2, 1) and once.abs().min() > 0
    torch.testing.assert_close(twice, 2 * once)
    torch.nn.init.zeros_(D.l_out.weight)
    torch.testing.assert_close(D(image, z), once)


def test_projection_by_hand_and_its_gradient():
    style = torch.tensor([[1.0, 2.0, -1.0, 0.5]], dtype=torch.float64, requires_grad=True)
    h = torch.tensor([[3.0, 1.0, 2.0, 4.0]], dtype=torch.float64, requires_grad=True)
    assert projection(style, h).item() == (3 + 2 - 2 + 2) / 2
    assert torch.autograd.gradcheck(projection, (style, h))


def test_head_sees_codes():
    torch.manual_seed(0)
    head = ProjectionHead(6, (5,), 4)
    assert head(torch.randn(3, 6)).shape == (3, 4)
    torch.testing.assert_close(head(torch.zeros(3, 6)), torch.zeros(3, 4))


@pytest.mark.parametrize("side", [8, 16])
def test_views_keep_the_shape(side):
    assert affine_view(torch.zeros(2, 3, side, side), torch.Generator()).shape[2:] == (side, side)
