"""SqueezeNet features and the distance on them: the public weights, people, gradients, messages."""

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch.nn import functional as F

from engine.errors import CheckpointError, ImageError, OptionError
from engine.models import perceptual
from engine.models.perceptual import (
    BGR_MEANS,
    DEFAULT_LAYERS,
    PerceptualDistance,
    SqueezeNet,
    feature_distance,
)

NECK_BRACE, WIG, BAND_AID = 678, 903, 419  # what ImageNet's classes call a portrait


@pytest.fixture(scope="module")
def untrained() -> SqueezeNet:
    torch.manual_seed(0)
    return SqueezeNet()


@pytest.fixture(scope="session")
def weights(shared: Path) -> Path:
    return shared / "weights" / "squeezenet_v1.0.npz"


@pytest.fixture(scope="session")
def pretrained(weights: Path) -> SqueezeNet:
    return SqueezeNet.from_npz(weights)


def picture(path: Path, side: int) -> torch.Tensor:
    rgb = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    rgb = cv2.resize(rgb, (side, side), interpolation=cv2.INTER_AREA)
    return torch.from_numpy(rgb).permute(2, 0, 1)[None] / 127.5 - 1


def portraits(shared: Path) -> list[dict[str, str]]:
    photos = shared / "data" / "photos"
    with (photos / "test.csv").open(encoding="utf-8") as file:
        return [row | {"path": str(photos / row["file"])} for row in csv.DictReader(file)]


def test_features_have_the_published_sizes(untrained: SqueezeNet):
    maps = untrained.features(torch.zeros(1, 3, 224, 224), ("conv1", "fire4", "fire8", "fire9"))
    sizes = [tuple(x.shape[1:]) for x in maps]
    assert sizes == [(96, 109, 109), (256, 54, 54), (512, 27, 27), (512, 13, 13)]


@pytest.mark.parametrize("size", [(64, 64), (65, 100), (128, 64)])
def test_any_size_from_64_px(untrained: SqueezeNet, size: tuple[int, int]):
    image = torch.rand(2, 3, *size) * 2 - 1
    assert PerceptualDistance(untrained)(image, -image).shape == (2,)


def test_preprocessing_is_folded_into_the_first_convolution(weights, pretrained):
    image = torch.rand(1, 3, 64, 64) * 2 - 1
    with np.load(weights) as file:
        weight, bias = (torch.from_numpy(file[f"conv1.{leaf}"]) for leaf in ("weight", "bias"))
    bgr = (image.flip(1) + 1) * 127.5 - torch.tensor(BGR_MEANS).view(1, 3, 1, 1)
    expected = F.relu(F.conv2d(bgr, weight, bias, stride=2))
    torch.testing.assert_close(
        pretrained.features(image, ["conv1"])[0], expected, rtol=1e-4, atol=2e-2
    )


def test_torchvision_file_is_the_same_network_with_other_numbers(untrained, tmp_path):
    """Its names and its preprocessing: RGB in [0, 1] minus mean over deviation."""
    state = untrained.state_dict()
    places = dict(zip(perceptual._FIRES, perceptual.TORCHVISION_FIRES, strict=True)) | {"conv1": 0}
    theirs = {}
    for name, value in state.items():
        module, rest = name.split(".", 1)
        theirs[f"features.{places[module]}.{rest.replace('squeeze1x1', 'squeeze')}"] = value
    file = tmp_path / "squeezenet1_0-b66bff10.pth"
    torch.save({**theirs, "classifier.1.bias": torch.zeros(1)}, file)
    network, x = SqueezeNet.from_npz(file), torch.rand(1, 3, 64, 64) * 2 - 1
    mean, deviation = (
        torch.tensor(v).view(3, 1, 1)
        for v in (perceptual.IMAGENET_MEAN, perceptual.IMAGENET_DEVIATION)
    )
    expected = untrained.features(((x + 1) / 2 - mean) / deviation)
    for ours, wanted in zip(network.features(x), expected, strict=True):
        torch.testing.assert_close(ours, wanted, rtol=1e-4, atol=1e-5)


def test_pretrained_network_sees_portraits(shared, weights, pretrained):
    """The classifier, read beside the network, answers what people wear: the weights are right."""
    with np.load(weights) as file:
        weight, bias = (torch.from_numpy(file[f"conv10.{leaf}"]) for leaf in ("weight", "bias"))
    faces = torch.cat([picture(row["path"], 227) for row in portraits(shared)[:12]])
    maps = pretrained.features(faces, ["fire9"])[0]
    top5 = F.relu(F.conv2d(maps, weight, bias)).mean(dim=(2, 3)).topk(5).indices
    for kind in (NECK_BRACE, WIG, BAND_AID):
        assert (top5 == kind).any(dim=1).float().mean() >= 0.25, kind


@pytest.mark.parametrize("side, drop_first", [(64, 0), (64, 2), (128, 2)])
def test_same_person_is_nearer_than_another(shared, pretrained, side: int, drop_first: int):
    people: dict[str, list[torch.Tensor]] = {}
    for row in portraits(shared):
        if row["person"]:
            people.setdefault(row["person"], []).append(picture(row["path"], side))
    pairs = [faces[:2] for faces in people.values() if len(faces) > 1]
    neutral, smiling = (torch.cat(faces) for faces in zip(*pairs, strict=True))
    distance = PerceptualDistance(pretrained, drop_first=drop_first)
    same, other = distance(neutral, smiling), distance(neutral, smiling.roll(1, 0))
    assert len(pairs) >= 3 and (same < other).all()
    assert same.mean() < 0.5 * other.mean()


def test_distance_is_zero_for_equal_and_symmetric(untrained: SqueezeNet):
    a, b = torch.rand(3, 3, 64, 64) * 2 - 1, torch.rand(3, 3, 64, 64) * 2 - 1
    distance = PerceptualDistance(untrained)
    assert distance(a, a).abs().max() == 0
    torch.testing.assert_close(distance(a, b), distance(b, a))
    assert ((distance(a, b) > 0) & (distance(a, b) <= 2)).all()


def test_distance_is_the_mean_over_its_layers(untrained: SqueezeNet):
    a, b = torch.rand(2, 3, 64, 64), torch.rand(2, 3, 64, 64)
    single = [PerceptualDistance(untrained, [name])(a, b) for name in DEFAULT_LAYERS]
    torch.testing.assert_close(PerceptualDistance(untrained)(a, b), sum(single) / len(single))
    dropped = PerceptualDistance(untrained, drop_first=3)(a, b)
    torch.testing.assert_close(dropped, sum(single[3:]) / len(single[3:]))


def test_kept_features_compare_as_pictures_do(untrained: SqueezeNet):
    a, b = torch.rand(2, 3, 64, 64), torch.rand(2, 3, 64, 64)
    distance = PerceptualDistance(untrained)
    kept = feature_distance(distance.features(a), distance.features(b))
    torch.testing.assert_close(kept, distance(a, b))


def test_known_value_of_the_distance():
    one, other = torch.zeros(1, 2, 1, 2), torch.zeros(1, 2, 1, 2)
    one[0, 0] = 1
    other[0, 1, 0, 0] = other[0, 0, 0, 1] = 1  # orthogonal (distance 2) and equal (0): mean 1
    assert feature_distance([one], [other]).tolist() == [1.0]


@pytest.mark.parametrize("value", [0.3, -1.0, 1.0])
def test_gradient_reaches_the_picture_and_is_finite(pretrained, value: float):
    flat = torch.full((1, 3, 64, 64), value, requires_grad=True)  # flat areas leave channels dead
    PerceptualDistance(pretrained)(flat, torch.rand(1, 3, 64, 64)).sum().backward()
    assert torch.isfinite(flat.grad).all() and flat.grad.abs().sum() > 0
    assert not any(p.requires_grad for p in pretrained.parameters())


def test_following_the_gradient_brings_pictures_nearer(pretrained):
    generator = torch.Generator().manual_seed(0)
    target = torch.rand(1, 3, 64, 64, generator=generator) * 2 - 1
    image = torch.zeros(1, 3, 64, 64, requires_grad=True)
    optimizer = torch.optim.Adam([image], lr=0.05)
    values = []
    for _ in range(8):
        optimizer.zero_grad()
        loss = PerceptualDistance(pretrained)(image, target).sum()
        loss.backward()
        optimizer.step()
        values.append(loss.item())
    assert values[-1] < 0.9 * values[0]


def test_bfloat16_agrees_with_float32(pretrained):
    generator = torch.Generator().manual_seed(0)
    a = torch.rand(2, 3, 64, 64, generator=generator) * 2 - 1
    distance = PerceptualDistance(pretrained)
    with torch.autocast("cpu", torch.bfloat16):
        coarse = distance(a, a.flip(3))
    assert coarse.dtype == torch.float32
    torch.testing.assert_close(coarse, distance(a, a.flip(3)), rtol=0.05, atol=0.01)


def test_messages_name_the_remedy(untrained: SqueezeNet, tmp_path: Path):
    image = torch.zeros(1, 3, 64, 64)
    with pytest.raises(ImageError, match=r"shape \[1, 3, 32, 32\].*at least 64 px"):
        untrained.features(image[..., :32, :32])
    with pytest.raises(ImageError, match=r"\[1, 3, 64, 64\] and \[2, 3, 64, 64\]"):
        PerceptualDistance(untrained)(image, image.expand(2, -1, -1, -1))
    with pytest.raises(OptionError, match=r"\('fire10',\); accepted are .*fire9"):
        untrained.features(image, ["fire10"])
    with pytest.raises(OptionError, match=r"drop_first is 7, accepted is 0 .. 6"):
        PerceptualDistance(untrained, drop_first=7)
    with pytest.raises(CheckpointError, match="nowhere.npz.*squeezenet_v1.0.npz"):
        SqueezeNet.from_npz(tmp_path / "nowhere.npz")
    np.savez(tmp_path / "other.npz", x=np.zeros(1))
    with pytest.raises(CheckpointError, match="not SqueezeNet v1.0: 50 tensors are missing"):
        SqueezeNet.from_npz(tmp_path / "other.npz")
