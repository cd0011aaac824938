"""train.paired on 32 px: resumes bit for bit, ends in a style, and its losses do what they say."""

import dataclasses
from pathlib import Path

import pytest
import torch
from PIL import Image

from engine.errors import DataError, OptionError
from engine.library import StyleLibrary
from engine.models import perceptual
from engine.pack import read_card
from engine.runtime import pick_runtime
from tests.packs import CODE, write_base
from tests.train.tiny import assert_same_state, drawn_squeezenet, parts_of, write_tiny
from train import monitors, paired, pairs
from train.loop import Run
from train.packs import load_source
from train.paired import PairedConfig
from train.semantic import FeatureDistance, SemanticLoss, cosine_distance, resized


@pytest.fixture(autouse=True)
def small_machine(monkeypatch):
    monkeypatch.setenv("STYLIZE_DTYPE", "float32")
    monkeypatch.setenv("STYLIZE_DEVICE", "cpu")
    monkeypatch.setattr(perceptual.SqueezeNet, "from_npz", drawn_squeezenet)
    monkeypatch.setattr(paired, "NUM_JUDGED", 4)
    monkeypatch.setattr(monitors, "SOURCE", {"style": 1e6, "score": 1e6})  # every candidate is one


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = write_tiny(tmp_path_factory.mktemp("paired"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STYLIZE_DTYPE", "float32")
        patch.setattr(perceptual.SqueezeNet, "from_npz", drawn_squeezenet)
        pairs.train(
            pairs.PairsConfig(
                data=str(folder / "pictures"),
                tuned=str(folder / "packs" / "tuned"),
                out=str(folder / "pairs"),
                steps=1,
                refine_steps=1,
                batch=6,
                size=64,
            )
        )
    return folder


@pytest.fixture
def config(folder, tmp_path):
    return PairedConfig(
        data=str(folder / "pictures"),
        pairs=str(folder / "pairs"),
        base=str(folder / "packs" / "base"),
        out=str(tmp_path / "run"),
        photos=str(folder / "pictures"),
        iterations=4,
        batch=2,
        size=64,
        r1_interval=2,
        sample_every=2,
        choose_every=1,
        perceptual="net.npz",
    )


def test_resumes_bit_for_bit(config, tmp_path):
    paired.train(config)
    halves = dataclasses.replace(config, out=str(tmp_path / "halves"))
    paired.train(dataclasses.replace(halves, iterations=2))
    paired.train(halves)
    assert_same_state(tmp_path / "run", tmp_path / "halves")
    assert len(list((tmp_path / "run").glob("samples-*.png"))) == 3  # and at the end
    with Image.open(tmp_path / "run" / "swap.png") as sweep:  # source, 32, 16, 8 px, style
        assert sweep.size == (4 * 32, 5 * 32)


def test_ends_in_a_style(config, folder):
    config = dataclasses.replace(config, pack=str(folder / "packs" / "kept"), truncation=0.7)
    paired.train(config)
    style = StyleLibrary([folder / "packs"]).load("kept", pick_runtime())
    card = style.card
    assert card.encoder_space == "z+"  # this base has no encoder into w
    assert card.variation_space == "z+"
    assert card.options().truncation_psi == 0.7
    assert [what.split(":")[0] for what in card.training["left_out"]] == ["identity"]
    assert card.training["measured_with"].startswith("SqueezeNet")
    ws = style.base.generator.ws(torch.randn(1, CODE))
    best = parts_of(Path(config.out))["parts"]["choice"]
    assert card.training["chosen"]["score"] == best["score"]
    trained = best["weights"]
    assert style.synthesize(ws).shape == (1, 3, 32, 32)
    name = "synthesis.b8.conv0.weight"
    torch.testing.assert_close(
        style.network().state_dict()[name], trained[name], atol=1e-2, rtol=1e-2
    )
    assert not torch.equal(trained[name], load_source(config.base).G.state_dict()[name])


def test_without_a_file_the_discriminator_of_the_base_looks(config, folder):
    pack = folder / "packs" / "plain"
    paired.train(dataclasses.replace(config, perceptual="", pack=str(pack), iterations=1))
    training = read_card(pack).training
    assert training["measured_with"] == "the base's discriminator in place of LPIPS"


def test_the_mapping_stays(config, tmp_path):
    paired.train(config)
    trained = parts_of(tmp_path / "run")["parts"]["G"]
    for name, value in load_source(config.base).G.state_dict().items():
        if name.startswith("mapping."):
            assert torch.equal(trained[name], value), name


def test_codes_stay_with_their_exemplars(config, folder):
    """At each point of the training the code shown is the one found for the picture shown."""
    source = load_source(config.base)
    exemplars = paired.load_images(config.data, 32)
    both = paired.PairedExemplars(config, exemplars, source)
    found = pairs.load_pairs(folder / "pairs")
    for cur_nimg in (0, 2, 4, 10):
        for ws, picture in zip(*both.draw(cur_nimg), strict=True):
            row = next(i for i, code in enumerate(found.codes[2]) if torch.equal(code, ws))
            assert torch.equal(picture, paired.as_float(exemplars.images[row]))


def test_pairs_pull_towards_the_exemplars(config):
    """With nothing but the paired term G' draws the exemplars better than with a weight of 0."""
    settings = {"iterations": 8, "lr": 0.015, "ema_images": 1, "semantic_weight": 0.0}
    distances = []
    for weight in (0.0, 30.0):
        out = f"{config.out}-{weight}"
        paired.train(dataclasses.replace(config, **settings, paired_weight=weight, out=out))
        G = paired.generator_from_state(
            torch.load(f"{out}/state.pt", weights_only=True)["parts"]["G"]
        )
        exemplars = paired.load_images(config.data, 32)
        both = paired.PairedExemplars(config, exemplars, load_source(config.base))
        ws, pictures = both.at(torch.arange(6))
        loss = SemanticLoss(config, torch.device("cpu"))
        distances.append(float(loss.paired(G.synthesis(ws), pictures)))
    assert distances[1] < 0.9 * distances[0]


def test_parts_of_a_batch_give_the_gradients_of_the_whole(config):
    config = dataclasses.replace(config, batch=8, ada_p=0.5, photos="")
    whole = gradients(config)
    parts = gradients(dataclasses.replace(config, accumulate=2, out=config.out + "-parts"))
    for name, value in whole.items():
        torch.testing.assert_close(parts[name], value, rtol=1e-2, atol=1e-4, msg=name)


def gradients(config):
    """Of the first step of D and of G', which begins with the D after its step."""
    source = load_source(config.base)
    nets = paired.Networks(config, source, pick_runtime())
    exemplars = paired.load_images(config.data, 32)
    pair = paired.PairedExemplars(config, exemplars, source).draw(0)
    count, state = config.accumulate, nets.state()
    run = Run(config.out, config, total=8, batch=8, state=state, accumulate=count)
    ws = source.G.ws(torch.randn(8, CODE, generator=torch.Generator().manual_seed(0))).detach()
    for group in nets.opt_D.param_groups:
        group["lr"] = 0.0
    paired.discriminator_step(nets, run, exemplars, ws, with_r1=True)
    paired.generator_step(nets, run, SemanticLoss(config, torch.device("cpu")), ws, pair)
    networks = {"D": nets.D, "G": nets.G.synthesis}
    return {
        f"{kind}.{name}": parameter.grad / parameter.grad.abs().max().clamp_min(1e-6)
        for kind, network in networks.items()
        for name, parameter in network.named_parameters()
    }


def test_semantic_loss_adds_a_tenth_of_the_identity():
    """On features that are the pictures' mean colours: squares by hand, cosines by hand."""
    loss = SemanticLoss.__new__(SemanticLoss)
    mean = FeatureDistance(lambda x: x.mean((2, 3)), lambda a, b: (a - b).square().sum(1), 4)
    loss.perceptual, loss.identity_weight = mean, 0.1
    loss.identity = FeatureDistance(lambda x: x.mean((2, 3)), cosine_distance, 4)
    a = torch.tensor([1.0, 0, 0]).reshape(1, 3, 1, 1).expand(1, 3, 8, 8)
    b = torch.tensor([0, 1.0, 0]).reshape(1, 3, 1, 1).expand(1, 3, 2, 2)
    assert torch.isclose(loss.semantic(a, b), torch.tensor(2.0 + 0.1))
    loss.identity = None
    assert torch.isclose(loss.semantic(a, b), torch.tensor(2.0))
    assert torch.equal(mean.against(b)(a), mean(a, b))


def test_cosine_distance():
    torch.manual_seed(0)
    a, b = (torch.randn(2, 5, dtype=torch.float64, requires_grad=True) for _ in range(2))
    assert cosine_distance(a, 3 * a).allclose(a.new_zeros(2))
    assert cosine_distance(a, -a).allclose(a.new_full((2,), 2.0))
    assert torch.autograd.gradcheck(cosine_distance, (a, b))


@pytest.mark.parametrize("side", [3, 6, 12])
def test_resized_keeps_the_mean(side):
    ramp = torch.linspace(-1, 1, side).expand(1, 3, side, side)
    assert resized(ramp, 6).shape == (1, 3, 6, 6)
    assert resized(ramp, 6).mean().abs() < 1e-6


def test_pairs_of_another_base_or_folder_are_refused(config, tmp_path):
    write_base(tmp_path / "other", seed=7)
    with pytest.raises(DataError, match="another base"):
        paired.train(dataclasses.replace(config, base=str(tmp_path / "other" / "base")))
    few = tmp_path / "few"
    few.mkdir()
    (few / "0.png").write_bytes((Path(config.data) / "0.png").read_bytes())
    with pytest.raises(DataError, match="5 pictures that are not in"):
        paired.train(dataclasses.replace(config, data=str(few)))


def test_bad_settings_are_refused():
    with pytest.raises(OptionError, match="--level 4"):
        PairedConfig(level=4)
    with pytest.raises(OptionError, match="--encoder-space 's'"):
        PairedConfig(encoder_space="s")
    with pytest.raises(OptionError, match="--batch 0"):
        PairedConfig(batch=0)
