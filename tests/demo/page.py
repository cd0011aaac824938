"""A page for tests: a detector that finds what it is told, and a visitor without a browser."""

import threading
from dataclasses import dataclass, field
from pathlib import Path

import gradio as gr
import numpy as np
import torch
from PIL import Image

from demo import visit as visits
from demo.tabs.image import ImageTab
from demo.tabs.multimodal import MultimodalTab
from demo.tabs.reference import ReferenceTab
from engine.detect import Face
from engine.runtime import Runtime

LONGEST = 120  # seconds of waiting to be told
RUNTIME = Runtime(torch.device("cpu"), torch.float32, "test")


def face(x: float, y: float, size: float) -> Face:
    """A frontal face with its eyes `size` apart around (x, y)."""
    points = np.array([[-0.5, 0], [0.5, 0], [0, 0.6], [-0.4, 1], [0.4, 1]]) * size + (x, y)
    box = np.array([x - size, y - size, x + size, y + 1.6 * size])
    return Face(points.astype(np.float32), box.astype(np.float32), 1.0)


TWO_FACES = (face(60, 50, 30), face(140, 60, 20))


@dataclass
class FindIn:
    """A detector that finds faces in every photo but a blue one; in a green one when it is told."""

    faces: tuple = TWO_FACES
    told: threading.Event = field(default_factory=threading.Event)
    calls: list = field(default_factory=list)

    def __call__(self, rgb: np.ndarray) -> list:
        self.calls.append(rgb.shape)
        red, green, blue = rgb.reshape(-1, 3).mean(0)
        if green > red + 50:
            assert self.told.wait(LONGEST), "a photo is green, and nobody told to find its face"
        return [] if blue > red + 50 else list(self.faces)


def save_photo(path: Path, rgb: tuple[int, int, int] = (180, 140, 120), **save) -> Path:
    """Write a 200 x 150 photo with some structure in it."""
    picture = np.full((150, 200, 3), rgb, np.uint8)
    picture[::7] //= 2
    Image.fromarray(picture).save(path, **save)
    return path


@dataclass
class Visitor:
    """Calls the callbacks as a browser would: keeps the values of components and states."""

    tab: ImageTab
    request: gr.Request = field(default_factory=lambda: gr.Request(session_hash="me"))
    values: dict = field(default_factory=dict)
    shown: dict = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.values = {c: getattr(c, "value", None) for c in self.tab.parts.inputs}

    def draw(self, callback=None, before=None, **changes) -> "Visitor":
        """Change components by name, then run a callback; `before` is called at each step."""
        parts = self.tab.parts
        for name, value in changes.items():
            self.values[getattr(parts if hasattr(parts, name) else parts.people, name)] = value
        for updates in (callback or self.tab.draw)(dict(self.values), self.request):
            if before:
                before()
            if updates != gr.skip():
                self.shown |= updates
                self.values |= {k: v for k, v in updates.items() if k in self.values}
        return self

    def upload(self, path: Path) -> "Visitor":
        return self.draw(photo={"path": str(path)})

    @property
    def visit(self) -> visits.Visit:
        return self.values[self.tab.parts.visit]

    def prop(self, part: str, name: str):
        """A property of what the last callbacks put into a component."""
        parts = self.tab.parts
        update = self.shown[getattr(parts if hasattr(parts, part) else parts.people, part)]
        return update.get(name) if isinstance(update, dict) else getattr(update, name)

    def pictures(self) -> list[np.ndarray]:
        """The pictures before and after that are on the page."""
        return [np.array(Image.open(path)) for path in self.shown[self.tab.parts.result]]


@dataclass
class TabVisitor:
    """Calls the callbacks of a tab that shares its photo, as a browser would."""

    tab: MultimodalTab | ReferenceTab
    values: dict = field(default_factory=dict)
    request: gr.Request = field(default_factory=lambda: gr.Request(session_hash="me"))

    def __post_init__(self) -> None:
        parts = self.tab.parts
        self.values = {c: getattr(c, "value", None) for c in parts.inputs | set(parts.outputs)}

    def set(self, **changes) -> "TabVisitor":
        """Change components by name."""
        self.values |= {getattr(self.tab.parts, name): value for name, value in changes.items()}
        return self

    def run(self, callback: str = "draw", before=None, **changes) -> "TabVisitor":
        """Change components by name, then run a callback; `before` is called after its start."""
        self.set(**changes)
        inputs = {c: self.values[c] for c in self.tab.parts.inputs}
        steps = getattr(self.tab, callback)(inputs, self.request)
        for number, updates in enumerate(steps):
            self.values |= updates
            if before and number == 0:
                before()
        return self

    def upload(self, path: Path, slot: str | None = None, before=None) -> "TabVisitor":
        """Upload the photo, or a reference into a slot."""
        part = getattr(self.tab.parts, slot) if slot else self.tab.parts
        self.values[part.photo] = {"path": str(path)}
        return self.run(before=before)

    def value(self, part: str):
        """What is in a component."""
        return self.values[getattr(self.tab.parts, part)]

    def prop(self, part: str, name: str):
        """A property of the last update of a component."""
        return self.value(part)[name]
