"""Random deformations: their derivative, what warping does, how large they are."""

import torch
from torch.autograd import gradcheck

from train.deformation import Deformation, draw_deformations
from train.distributed import Share

CPU = torch.device("cpu")


def drawn(count: int, affine: float = 0.1, bend: float = 0.05) -> Deformation:
    torch.manual_seed(0)
    deformation = draw_deformations(count, affine, bend, 5, device=CPU)
    return Deformation(*(part.double() for part in vars(deformation).values()))


def test_jacobian_is_the_derivative():
    deformation = drawn(2)
    points = torch.rand(2, 7, 2, dtype=torch.float64, requires_grad=True) * 2 - 1
    by_rows = []
    for i in range(2):
        rest = torch.autograd.grad(deformation(points)[..., i].sum(), points, retain_graph=True)
        by_rows.append(rest[0])
    expected = torch.stack(by_rows, dim=2)
    torch.testing.assert_close(deformation.jacobian(points), expected, rtol=1e-6, atol=1e-8)


def test_gradients():
    deformation = drawn(1)
    points = (torch.rand(1, 3, 2, dtype=torch.float64) * 2 - 1).requires_grad_()
    assert gradcheck(deformation, points)
    assert gradcheck(deformation.jacobian, points)


def test_finite_at_control_points():
    deformation = drawn(1)
    at = deformation.centers[None].clone().requires_grad_()
    (deformation(at).sum() + deformation.jacobian(at).sum()).backward()
    assert at.grad.isfinite().all()


def test_a_single_weight_is_the_thin_plate_kernel():
    weights = torch.zeros(1, 25, 2)
    weights[0, 12] = torch.tensor([1.0, 0.5])  # the middle, at (0, 0)
    deformation = Deformation(torch.eye(2, 3)[None], drawn(1).centers.float(), weights)
    point = torch.tensor([[[0.6, 0.8 * 2]]])
    square = 0.6**2 + 1.6**2
    bend = square * 0.5 * torch.log(torch.tensor(square))
    expected = point + bend * torch.tensor([1.0, 0.5])
    torch.testing.assert_close(deformation(point), expected)


def test_warp_takes_pixels_from_where_it_points():
    pictures = torch.rand(1, 3, 9, 9)
    torch.testing.assert_close(draw_deformations(1, 0, 0, 5, device=CPU).warp(pictures), pictures)
    step = 2 / 8  # one pixel
    affine = torch.tensor([[[1.0, 0, step], [0, 1, 0]]])
    shifted = Deformation(affine, torch.zeros(1, 2), torch.zeros(1, 1, 2)).warp(pictures)
    torch.testing.assert_close(shifted[..., :-1], pictures[..., 1:])


def test_shares_draw_the_rows_of_the_whole_batch():
    torch.manual_seed(0)
    whole = draw_deformations(4, 0.1, 0.1, 3, device=CPU)
    torch.manual_seed(0)
    half = draw_deformations(2, 0.1, 0.1, 3, device=CPU, share=Share(1, 2))
    assert torch.equal(half.affine, whole.affine[1::2])
    assert torch.equal(half.weights, whole.weights[1::2])
