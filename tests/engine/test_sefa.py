"""SeFa directions: both definitions, the V basis, edits; on hand-made and on public weights."""

import pytest
import torch

from engine.checkpoints import Contents, recognise
from engine.errors import CheckpointError, OptionError
from engine.models.stylegan2 import Generator
from engine.sefa import directions, edit, stacked_weights, v_basis
from engine.surgery import expand_paths

CHANNELS = {4: 8, 8: 6, 16: 4}


def tiny_state() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return Generator(16, z_dim=8, w_dim=8, num_layers=1, channels=CHANNELS).state_dict()


def affine(state, layer: str) -> torch.Tensor:
    return state[f"synthesis.{layer}.affine.weight"].double()


def test_ui2i_stacks_convolutions_and_the_first_torgb_only():
    state = tiny_state()
    order = ("b4.conv1", "b8.conv0", "b4.torgb", "b8.conv1", "b16.conv0", "b16.conv1")
    stack = stacked_weights(state)
    assert len(stack) == 8 + 8 + 8 + 6 + 6 + 4
    rows = {tuple(row.tolist()) for name in order for row in affine(state, name)}
    assert {tuple(row.tolist()) for row in stack} == rows
    assert torch.equal(stack[:8], affine(state, "b4.conv1"))


def test_sefa_stacks_the_last_torgb_with_unit_rows():
    state = tiny_state()
    stack = stacked_weights(state, definition="sefa")
    torch.testing.assert_close(stack.norm(dim=1), torch.ones(len(stack)).double())
    last = affine(state, "b16.torgb")
    torch.testing.assert_close(stack[-4:], last / last.norm(dim=1, keepdim=True))


def test_layers_pick_the_matrices_that_read_those_codes():
    state = tiny_state()
    assert torch.equal(stacked_weights(state, layers=[0]), affine(state, "b4.conv1"))
    assert torch.equal(stacked_weights(state, layers=[3]), affine(state, "b16.conv0"))
    assert len(stacked_weights(state, definition="sefa", layers=range(5))) == 8 + 8 + 6 + 6 + 4


def test_public_singular_values(golden):
    case = golden("ui2i_swap_256")
    prefix = "source."
    drawn = {n: torch.from_numpy(w) for n, w in case.weights.items() if n.startswith(prefix)}
    file = Contents("torch", {n.removeprefix(prefix): w for n, w in drawn.items()})
    state = recognise(file).parts["generator"]
    assert stacked_weights(state).shape == (6272, 512)
    case.check("sefa_singular_values", directions(state, count=16).values)


@pytest.mark.parametrize("definition", ["ui2i", "sefa"])
def test_directions_are_the_right_singular_vectors(definition):
    stack = stacked_weights(tiny_state(), definition=definition)
    found = directions(tiny_state(), definition=definition)
    _, values, rows = torch.linalg.svd(stack)
    torch.testing.assert_close(found.values, values.float(), rtol=1e-4, atol=1e-4)
    cosines = (found.vectors * rows.float()).sum(dim=1).abs()
    torch.testing.assert_close(cosines, torch.ones(8), rtol=1e-4, atol=1e-4)
    assert (found.vectors.gather(1, found.vectors.abs().argmax(1, keepdim=True)) > 0).all()
    assert torch.equal(directions(tiny_state(), definition=definition, count=3).vectors,
                       found.vectors[:3])  # fmt: skip


def test_a_known_direction_comes_first():
    state = tiny_state()
    for name, weight in state.items():
        if name.endswith("affine.weight"):
            weight.mul_(0.01)[:, 2] = 5.0
    assert directions(state).vectors[0].abs().argmax() == 2


def test_paths_have_directions_of_their_own():
    state = expand_paths(tiny_state(), num_paths=2, path_until=8)
    state["synthesis.paths.1.b8.conv1.affine.weight"] *= 3
    assert torch.equal(directions(state).values, directions(tiny_state()).values)
    assert directions(state, path=1).values[0] > directions(state).values[0]


def test_v_basis_is_orthogonal_and_knows_the_script_convention():
    state = tiny_state()
    V = v_basis(state)
    torch.testing.assert_close(V @ V.T, torch.eye(8), rtol=1e-5, atol=1e-5)
    first = torch.zeros(8).index_fill_(0, torch.tensor(0), 1.0)
    assert torch.equal(first @ V, directions(state, count=1).vectors[0])
    assert torch.equal(v_basis(state, convention="script"), V.T)


def test_edit_moves_the_chosen_layers():
    ws, direction = torch.zeros(2, 4, 8), torch.arange(8.0)
    moved = edit(ws, direction, -2.0, layers=[1, 3])
    assert torch.equal(moved[:, [1, 3]], (-2 * direction).expand(2, 2, 8))
    assert not moved[:, [0, 2]].any() and not ws.any()
    assert torch.equal(edit(ws, direction, 1.0), direction.expand(2, 4, 8))


def test_what_does_not_fit_is_refused():
    state = tiny_state()
    with pytest.raises(CheckpointError, match="no modulation matrices in these 1 tensors"):
        directions({"x": torch.zeros(2)})
    with pytest.raises(OptionError, match=r"accepted are one or more of 0 \.\. 5"):
        directions(state, layers=[6])
    with pytest.raises(OptionError, match="no modulation matrix of definition 'ui2i'"):
        directions(state, layers=[5])
    with pytest.raises(OptionError, match="accepted are ui2i and sefa"):
        directions(state, definition="pca")
    with pytest.raises(OptionError, match=r"accepted are 1 \.\. 8"):
        directions(state, count=9)
    with pytest.raises(OptionError, match="paper and script"):
        v_basis(state, convention="mine")
    with pytest.raises(OptionError, match=r"expected \[N, L, w_dim\] and \[w_dim\]"):
        edit(torch.zeros(1, 4, 8), torch.zeros(7), 1.0)
    with pytest.raises(OptionError, match=r"accepted are 0 \.\. 3"):
        edit(torch.zeros(1, 4, 8), torch.zeros(8), 1.0, layers=[4])
