"""Changes of colour: known values, the same for both pictures, nothing out of range."""

import torch

from train.recolor import LUMA, Recoloring, random_recoloring


def pictures(n: int = 2) -> torch.Tensor:
    return torch.rand(n, 3, 4, 5, generator=torch.Generator().manual_seed(1)) * 2 - 1


def recoloring(n: int, seed: int = 0, unchanged: float = 0.0) -> Recoloring:
    return random_recoloring(n, unchanged, torch.Generator().manual_seed(seed))


def test_unchanged_colours_stay_as_they_are():
    torch.testing.assert_close(recoloring(2, unchanged=1.0)(pictures()), pictures())


def test_about_as_many_change_as_asked_for():
    changed = recoloring(400, unchanged=0.25)
    still = (changed.matrix == torch.eye(3)).flatten(1).all(1)
    assert 0.15 < still.float().mean() < 0.35 and (changed.toned[still] == 0).all()
    assert 0.1 < (changed.toned > 0).float().mean() < 0.4


def test_rows_are_changed_as_in_the_whole():
    x, change = pictures(4), recoloring(4, seed=3)
    torch.testing.assert_close(change(x)[1:3], change[1:3](x[1:3]))
    assert change(x).abs().max() <= 1


def test_hue_turns_leave_greys_grey():
    change = recoloring(8, seed=2)
    gray = torch.full((8, 3, 1, 1), 0.5)
    turned = torch.einsum("nij,njhw->nihw", change.matrix, gray)
    assert (turned.amax(1) - turned.amin(1)).abs().max() < 1e-5


def test_a_palette_replaces_dark_to_light():
    change = recoloring(1)
    toned = Recoloring(change.matrix, change.offset, change.palette, torch.ones(1))
    grays = torch.tensor([-1.0, -1 / 3, 1 / 3, 1.0]).view(1, 1, 1, 4).expand(1, 3, 1, 4)
    expected = 2 * change.palette[0].T - 1  # [3, 4]: at its own lightness every colour comes pure
    torch.testing.assert_close(toned(grays)[0, :, 0], expected)
    luma = (change.palette[0] * torch.tensor(LUMA)).sum(1)
    assert luma[-1] > luma[0]


def test_half_precision_training_recolours_in_float32():
    x, change = pictures(3), recoloring(3, seed=5)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(change(x.bfloat16()), change(x.bfloat16().float()))
        assert change(x.bfloat16()).dtype == torch.float32
