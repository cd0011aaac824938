"""The optimiser all inversions share: codes (and noise maps) that draw given pictures.

Several pictures are inverted in one batch, each with its own loss, its own Adam and its own end, so
that no result depends on which other pictures were there. The generator is never written to.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from engine.errors import Cancelled, ImageError, OptionError, StylizeError
from engine.inversion.distances import Distance, against
from engine.inversion.noise import PrivateGenerator, noise_regularization, normalized
from engine.inversion.settings import InversionSettings
from engine.inversion.spaces import Space, make_space
from engine.inversion.storage import Inversion
from engine.models.stylegan2 import Generator
from engine.runtime import free_memory, is_out_of_memory

BETAS, EPSILON = (0.9, 0.999), 1e-8
SMALLEST_GAIN = 1e-3  # of the loss, below which a step counts as none
Variables = dict[str, Tensor]


def invert(
    G: Generator,
    images: Tensor,
    settings: InversionSettings,
    *,
    distance: Distance,
    start: Tensor | None = None,
    identity: Distance | None = None,
    generator: torch.Generator | None = None,
    should_stop: Callable[[], bool] | None = None,
    on_step: Callable[[int, float], None] | None = None,
) -> Inversion:
    """Find codes of pictures by optimisation.

    Args:
        G: the generator, of photos or fine-tuned; it is not changed and may be in use elsewhere.
        images: [N, 3, R, R] in [-1, 1], R that of the generator.
        settings: see `InversionSettings`; PRESETS holds the published ones.
        distance: perceptual distance, ([N, 3, R, R], same) -> [N]; see engine.inversion.distances.
        start: codes in the space of the settings, for example an encoder's; None: its origin.
        identity: a second distance, weighted by `settings.identity_weight`.
        generator: where noise is drawn from; None: a new one, seeded with 0.
        should_stop: asked before every step.
        on_step: told the number of steps done and the mean loss.

    Raises:
        ImageError: pictures of another size, or with values that are not finite.
        OptionError: a start that does not fit, or settings with which the search diverges.
        Cancelled: `should_stop` said so.
        StylizeError: out of memory.
    """
    random = generator or torch.Generator().manual_seed(0)
    with torch.inference_mode(False), torch.enable_grad():
        _check_images(G, images)
        if settings.identity_weight and identity is None:
            raise OptionError(
                f"identity_weight is {settings.identity_weight}, but there is no identity network; "
                "pass one as identity, or set the weight to 0"
            )
        try:
            search = _Search(G, images, settings, distance, start, identity, random)
            for step in range(settings.steps):
                if should_stop and should_stop():
                    raise Cancelled(f"inversion stopped after {step} of {settings.steps} steps")
                if not len(search.rows):
                    break
                loss = search.step(step)
                if on_step:
                    on_step(step + 1, loss)
            return search.result()
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            device = images.device
            free_memory(device)
            raise StylizeError(
                f"out of memory on {device} while inverting {len(images)} pictures of "
                f"{G.resolution} px; invert fewer at once, or set STYLIZE_DEVICE=cpu"
            ) from error


class _Search:
    """The state of one `invert`: variables of the pictures still searched, best of all pictures.

    `rows` maps the former to the latter, [n] of 0 .. N - 1.
    """

    def __init__(
        self,
        G: Generator,
        images: Tensor,
        settings: InversionSettings,
        distance: Distance,
        start: Tensor | None,
        identity: Distance | None,
        random: torch.Generator,
    ) -> None:
        count, device = len(images), G.mapping.w_avg.device
        self.settings, self.random = settings, random
        self.images = images.detach().clone().float().to(device)
        self.network = PrivateGenerator(G, settings.path)
        self.space = make_space(
            settings.space, self.network.G, settings.path, from_average=settings.from_average
        )
        self.distances = {"distance": distance, "identity": identity}
        self.rows = torch.arange(count, device=device)
        self.variables: Variables = {"code": _start(self.space, start, count).to(device)}
        if settings.optimize_noise:
            self.variables |= self.network.drawn_noise(count, random)
        self.adam = _Adam(self.variables)
        self.best = {name: x.clone() for name, x in self.variables.items()}
        self.best_loss = torch.full((count,), torch.inf, device=device)
        self.mark = self.best_loss.clone()  # the loss when it last fell noticeably
        self.since_gain = torch.zeros(count, dtype=torch.long, device=device)
        self.curve: list[Tensor] = []
        self._prepare()

    def step(self, step: int) -> float:
        """Do one step of Adam for every picture not at its end; returns their mean loss."""
        leaves = {name: x.detach().requires_grad_() for name, x in self.variables.items()}
        maps = {name: x for name, x in leaves.items() if name != "code"}
        code_noise = self._code_noise(step)
        losses = total = self._losses(leaves["code"], maps, code_noise)
        if maps:
            total = losses + self.settings.noise_weight * noise_regularization(maps)
        self._check_finite(total.detach(), step)
        gradients = torch.autograd.grad(total.sum(), list(leaves.values()))
        self._remember(losses.detach(), is_noisy=code_noise is not None)
        self.adam.step(self.variables, gradients, self.settings.rate_at(step))
        for name in maps:
            self.variables[name] = normalized(self.variables[name])
        if self.settings.patience:
            self._keep(self.since_gain[self.rows] < self.settings.patience)
        return losses.mean().item()

    @torch.no_grad()
    def result(self) -> Inversion:
        """Draw the best codes of all pictures."""
        ws = self.space.ws(self.best["code"])
        noise = {name: x for name, x in self.best.items() if name != "code"}
        maps = noise or self.network.stored_noise(len(ws))
        curve = self.curve + [self.best_loss] * (self.settings.steps - len(self.curve))
        return Inversion(
            ws=ws.cpu().contiguous(),
            code=self.best["code"].cpu().clone(),  # in W+ ws is the same tensor
            noise={name: x.cpu() for name, x in noise.items()} or None,
            losses=torch.stack(curve, dim=1).cpu(),
            picture=self.network.draw(ws, maps).cpu().contiguous(),
            settings=self.settings,
        )

    def _losses(self, code: Tensor, maps: Variables, code_noise: Tensor | None) -> Tensor:
        """Loss of every picture still searched, [n]: all weighted terms that look at it.

        The regularisation of the noise is not among them: at first it is a thousand times larger,
        and what is best or a plateau should be told by the picture.
        """
        settings = self.settings
        ws = self.space.ws(code if code_noise is None else code + code_noise)
        picture = self.network.draw(ws, maps or self.network.stored_noise(len(code)))
        error = picture - self.targets
        terms = {
            "distance": (settings.distance_weight, lambda: self.compare["distance"](picture)),
            "identity": (settings.identity_weight, lambda: self.compare["identity"](picture)),
            "l1": (settings.l1_weight, lambda: error.abs().mean(dim=(1, 2, 3))),
            "l2": (settings.l2_weight, lambda: error.square().mean(dim=(1, 2, 3))),
            "prior": (settings.prior_weight, lambda: self.space.prior(code)),
        }
        return sum(weight * term().float() for weight, term in terms.values() if weight)

    def _code_noise(self, step: int) -> Tensor | None:
        """One vector for all pictures, so that none depends on how many there are."""
        strength = self.settings.code_noise_at(step) * self.space.spread
        if not strength:
            return None
        shape = self.variables["code"].shape[1:]
        drawn = torch.randn(shape, generator=self.random, device=self.random.device)
        return strength * drawn.to(self.rows.device)

    def _remember(self, losses: Tensor, *, is_noisy: bool) -> None:
        """Update the best of the pictures still searched, and the loss curve of all.

        While there is noise on the code no picture is on a plateau: its loss jumps up and down.
        """
        before, mark = self.best_loss[self.rows], self.mark[self.rows]
        gained = mark.isinf() | (losses < mark * (1 - SMALLEST_GAIN)) | is_noisy
        self.mark[self.rows] = torch.where(gained, torch.minimum(losses, mark), mark)
        self.since_gain[self.rows] = torch.where(gained, 0, self.since_gain[self.rows] + 1)
        better = losses < before
        for name, best in self.best.items():
            best[self.rows[better]] = self.variables[name][better]
        self.best_loss[self.rows] = torch.minimum(losses, before)
        curve = self.best_loss.clone()
        curve[self.rows] = losses
        self.curve.append(curve)

    def _keep(self, going_on: Tensor) -> None:
        """Search on for some of the pictures, bool [n]; the others have their result."""
        if going_on.all():
            return
        self.rows = self.rows[going_on]
        self.variables = {name: x[going_on] for name, x in self.variables.items()}
        self.adam.keep(going_on)
        if len(self.rows):
            self._prepare()

    def _prepare(self) -> None:
        """Compute once what the distances need to know of the targets."""
        self.targets = self.images[self.rows]
        given = {name: f for name, f in self.distances.items() if f is not None}
        with torch.no_grad():
            self.compare = {name: against(f, self.targets) for name, f in given.items()}

    def _check_finite(self, losses: Tensor, step: int) -> None:
        wrong = self.rows[~losses.isfinite()].tolist()
        if wrong:
            raise OptionError(
                f"inversion diverged at step {step + 1} of {self.settings.steps}: the loss of "
                f"picture {', '.join(str(row + 1) for row in wrong)} is not finite; lower lr (now "
                f"{self.settings.lr}; 0.01 .. 0.1 are usual)"
            )


class _Adam:
    """Adam (Kingma & Ba 2015), whose rows can leave: those of pictures that are done."""

    def __init__(self, variables: Variables) -> None:
        self.count = 0
        self.mean = [torch.zeros_like(x) for x in variables.values()]
        self.square = [torch.zeros_like(x) for x in variables.values()]

    @torch.no_grad()
    def step(self, variables: Variables, gradients: tuple[Tensor, ...], lr: float) -> None:
        """Replace the variables by those after a step."""
        self.count += 1
        corrections = [1 - beta**self.count for beta in BETAS]
        for i, (name, gradient) in enumerate(zip(list(variables), gradients, strict=True)):
            self.mean[i] = torch.lerp(gradient, self.mean[i], BETAS[0])
            self.square[i] = torch.lerp(gradient.square(), self.square[i], BETAS[1])
            scale = (self.square[i] / corrections[1]).sqrt() + EPSILON
            variables[name] = variables[name] - lr / corrections[0] * self.mean[i] / scale

    def keep(self, rows: Tensor) -> None:
        """Forget the rows that are False in bool [n]."""
        self.mean = [x[rows] for x in self.mean]
        self.square = [x[rows] for x in self.square]


def _start(space: Space, start: Tensor | None, count: int) -> Tensor:
    if start is None:
        return space.start(count)
    expected = list(space.code_shape(count))
    if list(start.shape) != expected or not start.isfinite().all():
        raise OptionError(
            f"codes of shape {list(start.shape)} to start from in space {space.name!r}; expected "
            f"finite numbers of shape {expected}"
        )
    return start.detach().clone().float()


def _check_images(G: Generator, images: Tensor) -> None:
    expected = ["N", 3, G.resolution, G.resolution]
    if images.ndim != 4 or list(images.shape[1:]) != expected[1:] or not len(images):
        raise ImageError(
            f"pictures to invert have shape {list(images.shape)}; expected {expected}, the size of "
            "this generator: align and resize the face first"
        )
    if not images.isfinite().all() or images.abs().max() > 1.1:
        raise ImageError(
            f"pictures to invert have values {images.min().item():.3g} .. "
            f"{images.max().item():.3g}; expected -1 .. 1"
        )
