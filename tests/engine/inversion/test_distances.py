"""Distances: the discriminator's eyes, and LPIPS only where its weights already are."""

import pytest
import torch

from engine.errors import CheckpointError
from engine.inversion import DiscriminatorDistance, lpips_distance
from engine.inversion.distances import TRUNKS, VGG_FILE, against, pyramid


def test_equal_pictures_have_no_distance(images, distance):
    assert distance(images, images).tolist() == pytest.approx([0, 0, 0], abs=1e-6)
    assert (distance(images, images.flip(0))[[0, 2]] > 0.01).all()


def test_pictures_of_a_batch_do_not_meet(images, distance):
    together = distance(images, images.flip(3))
    alone = torch.cat([distance(x[None], x[None].flip(3)) for x in images])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-6)


def test_pixels_are_weighed(images, distance):
    plain, doubled = (DiscriminatorDistance(distance.D, weight) for weight in (0.0, 2.0))
    grey = images * 0 + 0.25
    pixels = (doubled(grey, grey + 0.5) - plain(grey, grey + 0.5)) / 2
    torch.testing.assert_close(pixels, torch.full((3,), 0.5), rtol=1e-4, atol=1e-4)


def test_pyramid_ends_at_16_px(images):
    assert [x.shape[-1] for x in pyramid(images.repeat(1, 1, 4, 4))] == [128, 64, 32, 16]
    assert [x.shape[-1] for x in pyramid(images)] == [32, 16]


def test_features_are_computed_once_or_per_call(images, distance):
    expected = distance(images, images.flip(0))
    torch.testing.assert_close(against(distance, images.flip(0))(images), expected)

    def plain(picture, target):
        return (picture - target).abs().mean(dim=(1, 2, 3))

    assert torch.equal(against(plain, images.flip(0))(images), plain(images, images.flip(0)))


def test_lpips_is_not_downloaded(tmp_path):
    with pytest.raises(CheckpointError, match=f"needs {VGG_FILE}, which is not in .*copy it there"):
        lpips_distance([tmp_path])
    torch.save({"features.0.weight": torch.zeros(2)}, tmp_path / VGG_FILE)
    with pytest.raises(CheckpointError, match="cannot be used for LPIPS"):
        lpips_distance([tmp_path])


@pytest.mark.slow
def test_lpips_reads_the_weights_of_vgg(tmp_path):
    import lpips

    torch.manual_seed(0)
    drawn = lpips.LPIPS(net="vgg", pnet_rand=True, verbose=False).net.state_dict()
    state = {"features." + name.split(".", 1)[1]: x for name, x in drawn.items()}
    torch.save(state, tmp_path / VGG_FILE)
    metric = lpips_distance([tmp_path])
    assert torch.equal(metric.lpips.net.slice5[-2].weight, state["features.28.weight"])
    a = torch.rand(2, 3, 64, 64)
    assert metric(a, a).tolist() == [0, 0] and (metric(a, a.flip(0)) > 0).all()
    assert not any(p.requires_grad for p in metric.parameters())


@pytest.mark.slow
def test_lpips_reads_the_weights_of_alexnet(tmp_path):
    import lpips

    torch.manual_seed(0)
    drawn = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False).net.state_dict()
    state = {"features." + name.split(".", 1)[1]: x for name, x in drawn.items()}
    torch.save(state, tmp_path / TRUNKS["alex"])
    metric = lpips_distance([tmp_path], "alex")
    assert torch.equal(metric.lpips.net.slice5[-2].weight, state["features.10.weight"])
    a = torch.rand(2, 3, 64, 64)
    assert metric(a, a).tolist() == [0, 0] and (metric(a, a.flip(0)) > 0).all()
