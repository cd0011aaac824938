"""One picture learned from the Reference tab: a training of this machine, whose style is drawn."""

from pathlib import Path

import gradio as gr
import pytest

from demo.stopping import Stops
from demo.studio import Studio
from demo.tabs.pieces import visit_state
from demo.tabs.reference import ReferenceTab
from demo.tabs.reference_oneshot import BEGUN, Oneshot, framed
from demo.tabs.reference_parts import NO_REFERENCE, oneshot_controls
from demo.tabs.train_runs import open_trainings
from demo.tabs.train_state import PRESETS
from engine.library import StyleLibrary
from tests.train.test_style_encoder import write_looks
from train.oneshot import OneshotConfig

from .page import RUNTIME, FindIn, TabVisitor, save_photo
from .test_train import wait_for


@pytest.fixture(scope="module")
def packs(tmp_path_factory) -> Path:
    """A base, and "looks", a style with a style encoder."""
    return write_looks(tmp_path_factory.mktemp("looks")) / "packs"


class Learner(TabVisitor):
    """A visitor of the Reference tab who has a picture learned."""

    def click(self) -> dict:
        updates = self.oneshot.learn({c: self.values[c] for c in self.tab.parts.inputs})
        self.values |= updates
        return updates


@pytest.fixture
def learner(packs: Path, cache: Path, tmp_path: Path, monkeypatch):
    quick = OneshotConfig(iterations=2, mix_layer=4, path_weight=0.0)
    monkeypatch.setitem(PRESETS["oneshot"], "cpu", quick)
    monkeypatch.setenv("STYLIZE_HOME", str(tmp_path / "home"))
    trainings = open_trainings("cpu", "127.0.0.1", True)
    trainings.folder.mkdir(parents=True)
    library = StyleLibrary([packs, tmp_path / "home" / "packs"])
    studio = Studio(library, RUNTIME, lambda network: FindIn())
    with gr.Blocks(), gr.Tabs() as tabs, gr.Tab():
        learner = Learner(ReferenceTab(studio, visit_state(), Stops(), can_train=True))
        learner.oneshot = Oneshot(learner.tab.parts, studio, trainings, tabs)
    learner.set(whole_photo=False, amount=4)
    yield learner
    trainings.stop_and_wait(20)


def test_a_picture_becomes_a_style(learner: Learner, photo: Path, tmp_path: Path):
    assert "Choose a photo" in learner.click()[learner.tab.parts.status]
    learner.upload(photo)
    assert NO_REFERENCE in learner.click()[learner.tab.parts.status]
    learner.upload(save_photo(tmp_path / "look.png", rgb=(230, 90, 40)), "first")
    updates = learner.click()
    assert BEGUN in updates[learner.tab.parts.status]
    assert updates[learner.oneshot.tabs].selected == "train"
    trainings = learner.oneshot.trainings
    (name,) = trainings.names()
    photos = list((trainings.folder / name / "photos").iterdir())
    assert sum(path.name.startswith("face_") for path in photos) == 2, "both people stay faces"
    assert "only one can" in learner.click()[learner.tab.parts.status]  # while it runs
    wait_for(lambda: not trainings.running())
    state = trainings.state(name)
    assert state.phase == "done", state.problem
    assert name in learner.tab.studio.names()
    learner.values[learner.tab.parts.style] = name
    assert learner.run().value("result") is not None


def test_without_a_face_the_middle_is_learned(learner: Learner, photo: Path, tmp_path: Path):
    sky = save_photo(tmp_path / "sky.png", rgb=(20, 20, 230))
    learner.upload(photo).upload(sky, "first")
    assert framed(learner.values[learner.tab.parts.first.visit]).shape == (150, 150, 3)


def test_it_is_offered_where_the_page_may_train(packs: Path):
    card = StyleLibrary([packs]).card("looks")
    with gr.Blocks():
        hint, button = oneshot_controls(card, can_train=True)
        assert button.visible and hint.visible and "python" not in hint.value
        hint, button = oneshot_controls(card, can_train=False)
        assert not button.visible and "python -m train.oneshot" in hint.value
