"""Looks of one portrait: by number, near one another, and the way between two as a clip."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from engine.card import Card
from engine.errors import Cancelled
from engine.image import resize
from engine.options import MAXIMUM_SEED, Options, StylizeOptions
from engine.pipeline import Portrait, Stylizer
from motion.media import Frame, Writer

FRAMES, RATE, SIDE = 36, 24, 512  # a second and a half there, the same back, enlarged to be seen


@dataclass(frozen=True)
class Look:
    """A variation by its number, or a look near another; number 0 is the style as it is."""

    variation: int = 0
    steps: tuple[tuple[int, float], ...] = ()

    @property
    def title(self) -> str:
        """What the page calls it: `103`, `103 > 7` for one near 103, `As it is`."""
        if not self.variation:
            return "As it is"
        return " › ".join(map(str, (self.variation, *(number for number, _ in self.steps))))

    def near(self, number: int, share: float) -> Look:
        """Return the look that lies `share` of the way from this one to another."""
        return replace(self, steps=(*self.steps, (number, share)))

    def applied(self, options: StylizeOptions) -> StylizeOptions:
        """Return the options that draw it."""
        steps = ",".join(f"{number}:{share:.2f}" for number, share in self.steps) or "none"
        return replace(options, variation=self.variation, variation_steps=steps)


PLAIN = Look()


def some_looks(seed: int, count: int) -> list[Look]:
    """Return the style as it is, and `count` variations from `seed` on."""
    return [PLAIN, *map(Look, _numbers(seed, count))]


def looks_near(look: Look, seed: int, count: int, share: float) -> list[Look]:
    """Return a look, and `count` others around it."""
    return [look, *(look.near(number, share) for number in _numbers(seed, count))]


def _numbers(seed: int, count: int) -> list[int]:
    """Numbers from `seed` on, never 0: that is the style as it is."""
    return [1 + (seed + step - 1) % MAXIMUM_SEED for step in range(count)]


def between(
    stylizer: Stylizer,
    portrait: Portrait,
    looks: tuple[Look, Look],
    options: StylizeOptions,
    should_stop: Callable[[], bool],
) -> Iterator[np.ndarray]:
    """Draw FRAMES pictures on the way between two looks, uint8 [S, S, 3]; raises Cancelled."""
    start, end = (stylizer.look(portrait, look.applied(options)) for look in looks)
    for share in 0.5 - 0.5 * np.cos(np.linspace(0, np.pi, FRAMES)):  # slow at both ends
        if should_stop():
            raise Cancelled("the walk was stopped; nothing was written")
        drawn = stylizer.render(portrait, options, look=start.blended(end, float(share)))
        side = max(SIDE, len(drawn))
        yield resize(stylizer.crop(portrait, drawn, options), side, side)


def write_walk(path: Path, pictures: list[np.ndarray]) -> Path:
    """Write pictures [S, S, 3] there and back as H.264; raises MediaError."""
    height, width = pictures[0].shape[:2]
    order = [*pictures, *pictures[-2:0:-1]]
    with Writer(path, width, height) as writer:
        for index, rgb in enumerate(order):
            writer.write(Frame(index, Fraction(index, RATE), rgb))
    return path


def command(
    card: Card, options: StylizeOptions, program: str = "python -m demo.photo me.jpg me.png"
) -> str:
    """Return the command line that draws the same picture: what differs from the defaults."""
    return " ".join([program, "--style", card.name, *changed_flags(options, card.options())])


def changed_flags(options: Options, defaults: Options) -> list[str]:
    """Return the flags that make these options out of the defaults."""
    words = []
    for name, option in options.describe().items():
        value = getattr(options, name)
        if value == getattr(defaults, name):
            continue
        if option.kind == "bool":
            words.append(option.flag if value else option.flag.replace("--", "--no-", 1))
        else:
            words += [option.flag, f"{value:g}" if option.kind == "float" else str(value)]
    return words
