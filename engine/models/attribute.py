"""Which attribute a face has, from its codes: the choice of an attribute path.

AgileGAN (Song et al. 2021, section 3.3) draws every attribute with a path of its own and needs to
know which one a face takes. Its public code asks another face detector and a network for that.
Here the encoder has looked at the face already: a logistic regression reads its posterior mean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from engine.errors import CheckpointError
from engine.models.loading import load_exactly


class AttributeClassifier(nn.Module):
    """Multinomial logistic regression on all codes of a face, each brought to unit RMS.

    Args:
        num_ws: number of codes L.
        z_dim: length of a code.
        names: of the attributes, of which a face has exactly one. They are stored with the weights,
            as UTF-8 lines in a uint8 buffer.
    """

    def __init__(self, num_ws: int, z_dim: int, names: Sequence[str]) -> None:
        super().__init__()
        self.num_ws, self.z_dim, self.names = num_ws, z_dim, tuple(names)
        text = torch.tensor(list("\n".join(names).encode()), dtype=torch.uint8)
        self.register_buffer("names_utf8", text)
        self.weight = nn.Parameter(torch.zeros(len(self.names), num_ws, z_dim))
        self.bias = nn.Parameter(torch.zeros(len(self.names)))

    def forward(self, mu: Tensor) -> Tensor:
        """Posterior means [N, L, z_dim] -> probabilities of the attributes [N, A]."""
        return self.logits(unit_codes(mu.float())).softmax(dim=1)

    def logits(self, codes: Tensor) -> Tensor:
        """Codes of unit RMS [N, L, z_dim] -> what `forward` takes the softmax of, [N, A]."""
        return nn.functional.linear(codes.flatten(1), self.weight.flatten(1), self.bias)


def unit_codes(mu: Tensor) -> Tensor:
    """Bring every code of `mu` [N, L, z_dim] to unit root mean square."""
    return mu * (mu.square().mean(dim=2, keepdim=True) + 1e-8).rsqrt()


def attribute_from_state(state: Mapping[str, Tensor]) -> AttributeClassifier:
    """Build the classifier that `state` belongs to and load it, for inference.

    Raises:
        CheckpointError: the tensors do not describe one, or its names are no text.
    """
    if "names_utf8" not in state or "weight" not in state or state["weight"].ndim != 3:
        raise CheckpointError(
            f"no attribute classifier in these {len(state)} tensors; expected names_utf8 and "
            "weight [A, L, 512], as python -m train.attribute writes them"
        )
    try:
        names = bytes(state["names_utf8"].tolist()).decode().split("\n")
    except (ValueError, TypeError) as error:
        raise CheckpointError(
            f"the names of the attribute classifier are no text ({error}); copy the file again"
        ) from error
    classifier = AttributeClassifier(*state["weight"].shape[1:], names)
    load_exactly(classifier, state, "an attribute classifier")
    return classifier.eval().requires_grad_(False)
