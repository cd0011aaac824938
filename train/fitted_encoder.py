"""A second encoder of a base that begins where the first one is: its layers, and other heads.

An encoder into W+ of a base that reads photos already has little to learn: its layers can be
those of the first encoder, and its heads, each one linear layer, follow by least squares from the
codes that the first one answers. What linear heads cannot say is left to the training. Into W
nothing can be solved for (the mean of the codes of all layers is no w that draws a face), so that
its one head begins with the average w.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from engine.errors import OptionError
from engine.models.backbone_encoder import EqualizedLinear, PhotoEncoder, WEncoder
from engine.models.encoder import FeaturePyramidEncoder
from train.data import ImageSet, as_float

BATCH = 32
RIDGE = 1e-3  # of the mean square of what a head sees


def take_layers(E: PhotoEncoder, own: PhotoEncoder) -> None:
    """Give E the layers of `own` that fit; its heads stay as they are.

    Raises:
        OptionError: the encoders see pictures of different sizes.
    """
    if E.input_size != own.input_size:
        raise OptionError(
            f"--input-size {E.input_size} differs from the {own.input_size} px of the base's "
            f"encoder, whose layers are to be taken: use --input-size {own.input_size}"
        )
    state, given = E.state_dict(), own.state_dict()
    fitting = {k: given[k] for k, v in state.items() if k in given and given[k].shape == v.shape}
    E.load_state_dict(state | fitting)


def begin_at_average(E: WEncoder, own: PhotoEncoder) -> None:
    """Give an encoder into W the layers of `own`, and a head that answers the average w.

    Raises what `take_layers` raises.
    """
    take_layers(E, own)
    torch.nn.init.zeros_(E.linear.weight)
    torch.nn.init.zeros_(E.linear.bias)


def fit_to(
    E: FeaturePyramidEncoder,
    own: FeaturePyramidEncoder,
    photos: ImageSet,
    ws_of: Callable[[Tensor], Tensor],
) -> float:
    """Give E the layers of `own` that fit, and heads that answer its codes of photos.

    Args:
        E: the new encoder, into W+, of the input size of `own`.
        own: the base's first encoder.
        photos: at that size; mirrored ones are looked at as well.
        ws_of: posterior means [N, L, z_dim] -> codes [N, L, w_dim] in W+.

    Returns:
        The share of the variance of the codes that the heads explain, 0 to 1.

    Raises:
        OptionError: the encoders see pictures of different sizes.
    """
    take_layers(E, own)
    heads = _heads(E)
    seen, wanted = _looked_at(E.eval(), own.eval(), heads, photos, ws_of)
    left = torch.zeros((), dtype=torch.float64)
    for i, head in enumerate(heads):
        weight, bias, error = _solved(seen[i], wanted[:, i] - E.latent_avg[0].cpu())
        with torch.no_grad():
            head.weight.copy_(weight / head.gain)
            head.bias.copy_(bias)
        left += error
    total = (wanted - wanted.mean(0)).double().square().sum()
    return float(1 - left / total)


def _heads(E: FeaturePyramidEncoder) -> list[EqualizedLinear]:
    """The last layers of an encoder, one per code."""
    if hasattr(E, "sub_encoders"):
        return [linear for block in E.sub_encoders for linear in block.linears]
    return [head.linear for head in E.styles]


@torch.no_grad()
def _looked_at(
    E: FeaturePyramidEncoder,
    own: FeaturePyramidEncoder,
    heads: list[EqualizedLinear],
    photos: ImageSet,
    ws_of: Callable[[Tensor], Tensor],
) -> tuple[list[Tensor], Tensor]:
    """What each head sees of all photos, [2 N, C] each, and the codes of those, [2 N, L, w_dim]."""
    seen: list[list[Tensor]] = [[] for _ in heads]
    hooks = [
        head.register_forward_pre_hook(lambda _, given, kept=kept: kept.append(given[0].cpu()))
        for head, kept in zip(heads, seen, strict=True)
    ]
    wanted, device = [], next(E.parameters()).device
    for part in photos.images.split(BATCH):
        for x in (as_float(part.to(device)), as_float(part.to(device)).flip(3)):
            E(x)
            wanted.append(ws_of(own(x).float()).cpu())
    for hook in hooks:
        hook.remove()
    return [torch.cat(parts) for parts in seen], torch.cat(wanted)


def _solved(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Ridge regression of y [N, D] on x [N, C]: weight [D, C], bias [D], what is left over."""
    x, y = x.double(), y.double()
    x_mean, y_mean = x.mean(0), y.mean(0)
    x, y = x - x_mean, y - y_mean
    gram = x.T @ x
    gram += RIDGE * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype)
    weight = torch.linalg.solve(gram, x.T @ y).T
    left = (y - x @ weight.T).square().sum()
    return weight.float(), (y_mean - weight @ x_mean).float(), left
