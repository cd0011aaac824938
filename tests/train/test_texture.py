"""train.texture at 64 px: squares are those of whole pictures, runs resume, styles are written."""

import dataclasses
import json

import pytest
import torch
from PIL import Image

from engine.errors import OptionError
from engine.library import StyleLibrary
from engine.runtime import pick_runtime
from tests.train.conftest import CHANNELS
from tests.train.test_recipes import assert_same_state, parts_of
from train import texture
from train.critic import Critic, look_with
from train.data import load_images, seeded
from train.distributed import WHOLE
from train.drafts import Square, drafts_of, finished, random_square
from train.packs import load_source
from train.texture_config import TextureConfig


@pytest.fixture(autouse=True)
def float32(monkeypatch):
    monkeypatch.setenv("STYLIZE_DTYPE", "float32")
    monkeypatch.setenv("STYLIZE_DEVICE", "cpu")
    monkeypatch.setattr(texture, "NUM_JUDGED", 4)


@pytest.fixture
def config(folder):
    return TextureConfig(
        data=str(folder / "pictures"),
        photos=str(folder / "pictures"),
        base=str(folder / "packs" / "base"),
        perceptual=str(folder / "net.npz"),
        attributes="a,b,c",
        part=1.0,
        most_photos=6,
        iterations=4,
        batch=2,
        sample_every=2,
        choose_every=2,
    )


@torch.no_grad()
def test_what_is_finished_of_drafts_is_what_the_generator_draws(folder):
    source = load_source(folder / "packs" / "base")
    drafts = drafts_of(load_images(folder / "pictures", 64), source, source.G.synthesis, 8)
    drawn = finished(source.G.synthesis, drafts)
    torch.testing.assert_close(drawn, source.G.synthesis(drafts.ws), atol=0.05, rtol=0.01)
    square = Square(1, 2, 6, 8)
    calm = source.G.synthesis
    for name, parameter in calm.named_parameters():
        if name.endswith("noise_strength"):
            parameter.zero_()
    part, shown = finished(calm, drafts, 0, square, WHOLE), square.shown(finished(calm, drafts))
    assert part.shape == shown.shape == (12, 3, 16, 16)
    assert (part - shown).abs().mean() < 0.02 * shown.std()
    torch.testing.assert_close(part[..., 6:-6, 6:-6], shown[..., 6:-6, 6:-6], atol=1e-4, rtol=1e-4)


def test_squares_lie_inside_and_everywhere():
    generator = seeded("squares")
    found = [random_square(32, 0.5625, generator) for _ in range(200)]
    assert {square.side for square in found} == {18} and found[0].margin == 16
    tops, lefts = {s.top for s in found}, {s.left for s in found}
    assert tops == lefts == set(range(32 - 18 + 1))
    x = torch.arange(256.0).expand(1, 1, 256, 256)
    shown = found[0].shown(x)
    assert shown.shape[-1] == 112 and shown[0, 0, 0, 0] == 8 * found[0].left + 16
    assert random_square(8, 1.0, generator).margin == 0


def test_a_critic_learns_to_tell_pictures_apart(folder):
    look = look_with(str(folder / "net.npz"), load_source(folder / "packs" / "base").D)
    torch.manual_seed(0)
    smooth = torch.rand(4, 3, 8, 8, generator=seeded("smooth")).repeat_interleave(12, 2)
    smooth = smooth.repeat_interleave(12, 3) * 2 - 1
    rough = torch.rand(4, 3, 96, 96, generator=seeded("rough")) * 2 - 1
    seen = [look(x) for x in (smooth, rough)]
    D = Critic(seen[0])
    assert len(D.heads) == 4, "one for each size, and two of five maps have the same"
    fine = Critic(seen[0], num_scales=2)
    assert fine(seen[0]).shape[1] < D(seen[0]).shape[1]
    assert len(fine.heads[0]) == len(D.heads[0])
    frozen = [p.clone() for p in (*D.mix.parameters(), *D.merge.parameters())]
    optimizer = torch.optim.Adam(D.heads.parameters(), 0.002)
    for _ in range(21):
        optimizer.zero_grad()
        loss = texture.hinge_d(D(seen[0]), D(seen[1]))
        loss.backward()
        optimizer.step()
    scores = [D(x).mean().item() for x in seen]
    assert scores[0] - scores[1] > 0.2 and loss < 1.8  # 2 for one that knows nothing
    for before, after in zip(frozen, (*D.mix.parameters(), *D.merge.parameters()), strict=True):
        assert torch.equal(before, after)


def test_a_run_resumes_exactly_and_writes_a_style(config, folder, tmp_path):
    whole = dataclasses.replace(config, out=str(tmp_path / "a"), pack=str(tmp_path / "packs" / "a"))
    texture.train(whole)
    halves = dataclasses.replace(config, out=str(tmp_path / "b"))
    texture.train(dataclasses.replace(halves, iterations=2))
    texture.train(halves)
    assert_same_state(tmp_path / "a", tmp_path / "b")
    library = StyleLibrary([tmp_path / "packs", folder / "packs"])
    style = library.load("a", pick_runtime("cpu", "float32"))
    assert style.card.attributes == ("a", "b", "c") and style.card.base["name"] == "base"
    assert style.card.training["recipe"] == "train.texture"
    stats = [json.loads(line) for line in (tmp_path / "a" / "stats.jsonl").read_text().splitlines()]
    assert any({"loss_D_a", "loss_G_c", "sim_b"} <= set(row) for row in stats)
    ws = torch.randn(1, style.base.generator.num_ws, 512)
    first, second = (style.synthesize(ws, path=path) for path in (0, 1))
    assert not torch.equal(first, second)
    source = load_source(config.base).G.state_dict()
    low = [k for k in source if k.startswith("synthesis.b8.") and "noise_const" not in k]
    drawn = style.network(0).state_dict()
    assert low and all(torch.equal(source[k], drawn[k]) for k in low)
    again = dataclasses.replace(
        config, out=str(tmp_path / "c"), start_from=str(tmp_path / "packs" / "a"), iterations=1
    )
    texture.train(again)


def test_shapes_can_be_learned_too(config, folder, tmp_path, monkeypatch):
    monkeypatch.setattr("train.augment.TARGET", -2.0)  # any sign asks for more augmentation
    pack = tmp_path / "packs" / "shapes"
    shapes = dataclasses.replace(
        config, freeze_share=0.125, path_from=8, likeness=0.5, ada_speed=50.0, iterations=6
    )
    texture.train(dataclasses.replace(shapes, out=str(tmp_path / "run"), pack=str(pack)))
    style = StyleLibrary([tmp_path / "packs", folder / "packs"]).load(
        "shapes", pick_runtime("cpu", "float32")
    )
    assert style.card.options().likeness == 0.5
    source = load_source(config.base).G.state_dict()
    first, second = (style.network(path).state_dict() for path in (0, 1))
    kept, learned = (f"synthesis.b{r}.conv1.weight" for r in (4, 8))
    assert torch.equal(source[kept], first[kept])
    assert not torch.equal(source[learned], first[learned])
    assert not torch.equal(first[learned], second[learned])
    state = parts_of(tmp_path / "run")["parts"]
    assert state["augment"]["p"] > 0


def test_drafts_hold_a_share_of_what_only_photos_show(folder):
    source = load_source(folder / "packs" / "base")
    photos = load_images(folder / "pictures", 64)
    part = drafts_of(photos, source, source.G.synthesis, 4, likeness=0.5)
    assert part.cells == 4 and part.x.shape[-1] == 4
    with pytest.raises(OptionError, match="freeze-share of at least 0.125"):
        drafts_of(photos, source, source.G.synthesis, 2)


def test_without_a_perceptual_network_the_eyes_are_those_of_the_base(config, tmp_path):
    texture.train(dataclasses.replace(config, perceptual="", out=str(tmp_path), iterations=2))
    state = parts_of(tmp_path)["parts"]
    assert state["D"]["0.mix.0.weight"].shape[1] == CHANNELS[32]


def test_gray_exemplars_give_a_gray_style(config, folder, tmp_path):
    gray = tmp_path / "gray"
    gray.mkdir()
    for file in sorted((folder / "pictures").glob("*.png")):
        Image.open(file).convert("L").convert("RGB").save(gray / file.name)
    pack = tmp_path / "packs" / "gray"
    texture.train(
        dataclasses.replace(
            config, data=str(gray), attributes="", out=str(tmp_path / "run"), pack=str(pack)
        )
    )
    library = StyleLibrary([tmp_path / "packs", folder / "packs"])
    style = library.load("gray", pick_runtime("cpu", "float32"))
    drawn = style.synthesize(torch.randn(1, style.base.generator.num_ws, 512))
    torch.testing.assert_close(drawn[:, 0], drawn[:, 1], atol=1e-3, rtol=1e-3)
    assert style.card.options().surroundings == 1.0


def test_bad_settings_are_refused(config, tmp_path):
    for wrong, message in {"part": 0.0, "sim_drop": 5, "scales": 5, "iterations": 0}.items():
        with pytest.raises(OptionError, match=f"--{wrong.replace('_', '-')} {message}"):
            dataclasses.replace(config, **{wrong: message})
    with pytest.raises(OptionError, match="none of 0.25, 0.125"):
        dataclasses.replace(config, freeze_share=0.3)
    with pytest.raises(OptionError, match="use --part 1"):
        dataclasses.replace(config, freeze_share=0.125, part=0.5)
    with pytest.raises(OptionError, match="--likeness 2"):
        dataclasses.replace(config, likeness=2.0)
    pack = tmp_path / "packs" / "a"
    texture.train(
        dataclasses.replace(config, out=str(tmp_path / "a"), pack=str(pack), iterations=1)
    )
    other = dataclasses.replace(
        config, out=str(tmp_path / "b"), start_from=str(pack), attributes="a,b"
    )
    with pytest.raises(OptionError, match="are needed: choose another"):
        texture.train(other)


def test_contrasts_of_eyes_and_mouth_count_near_them_only():
    """The corner counts for nothing, a brighter face too, a square without either for 0."""
    whole_picture, corner = Square(0, 0, 32, 32), Square(26, 0, 6, 32)

    def apart(fake, square=whole_picture):
        return float(texture._features_apart(fake, 0 * fake, square, 256))

    source = torch.zeros(1, 3, 256, 256)
    around = texture.feature_weights(256)[0, 0] > 0.8
    far, near, brighter = (source.clone() for _ in range(3))
    far[..., 230:, :], near[..., around], brighter[:] = 1.0, 1.0, 1.0
    assert apart(near) > 0.2 > 1e-3 > apart(far) and apart(brighter) < 1e-6
    left, right = around[:, :128], around[:, 128:]
    assert left.sum() == right.sum() > 100
    assert apart(corner.shown(far), corner) < 1e-3
