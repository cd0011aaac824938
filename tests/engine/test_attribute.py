"""The classifier of attributes: what it reads, and that its file says its names."""

import pytest
import torch

from engine.errors import CheckpointError
from engine.models.attribute import AttributeClassifier, attribute_from_state


def drawn(names=("female", "male", "größer")) -> AttributeClassifier:
    torch.manual_seed(0)
    classifier = AttributeClassifier(3, 8, names)
    torch.nn.init.normal_(classifier.weight)
    return classifier


def test_untrained_is_undecided():
    probabilities = AttributeClassifier(3, 8, ("a", "b"))(torch.randn(2, 3, 8))
    torch.testing.assert_close(probabilities, torch.full((2, 2), 0.5))


def test_probabilities_depend_on_directions_of_every_layer():
    classifier, mu = drawn(), torch.randn(2, 3, 8)
    probabilities = classifier(mu)
    assert probabilities.shape == (2, 3)
    torch.testing.assert_close(probabilities.sum(1), torch.ones(2))
    lengths = torch.tensor([0.1, 1.0, 50.0])[:, None]
    torch.testing.assert_close(classifier(mu * lengths), probabilities, atol=1e-4, rtol=0)
    for layer in range(3):
        other = mu.clone()
        other[:, layer] *= -1
        assert not torch.allclose(classifier(other), probabilities)


def test_file_says_sizes_and_names():
    classifier, mu = drawn(), torch.randn(2, 3, 8)
    again = attribute_from_state(classifier.state_dict())
    assert (again.names, again.num_ws, again.z_dim) == (("female", "male", "größer"), 3, 8)
    assert torch.equal(again(mu), classifier(mu))


def test_wrong_weights_are_refused():
    state = drawn().state_dict()
    with pytest.raises(CheckpointError, match="no attribute classifier in these 1 tensors"):
        attribute_from_state({"weight": torch.zeros(2, 3, 8)})
    with pytest.raises(CheckpointError, match="are no text"):
        attribute_from_state(state | {"names_utf8": torch.tensor([255], dtype=torch.uint8)})
    one = torch.tensor(list(b"female"), dtype=torch.uint8)
    with pytest.raises(CheckpointError, match=r"weight is \[3, 3, 8\], expected \[1, 3, 8\]"):
        attribute_from_state(state | {"names_utf8": one})
