"""Arguments bind as in PyTorch; what is left out is inferred, what is given is checked (language, 3)."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from tests.compile.written import net, plan, refused, shape_of, steps, weights

IMAGE, SOUND, SOLID = "N, 4, 8, 8", "N, 4, 8", "N, 4, 5, 5, 5"
FLAT, TEXT = "N, 6", "N, 5, 6"

EQUAL = [
    ("Conv2d(4, 6, 3)", "Conv2d(6, 3)", IMAGE),
    ("Conv2d(out_channels=6, kernel_size=3)", "Conv2d(6, 3)", IMAGE),
    ("Conv2d(in_channels=4, out_channels=6, kernel_size=3)", "Conv2d(6, kernel_size=3)", IMAGE),
    ("Conv2d(4, 6, 3, 2, 1)", "Conv2d(6, 3, stride=2, padding=1)", IMAGE),
    ("Conv1d(4, 6, 3)", "Conv1d(6, 3)", SOUND),
    ("Conv3d(4, 6, 3)", "Conv3d(6, 3)", SOLID),
    ("ConvTranspose1d(4, 6, 3)", "ConvTranspose1d(6, 3)", SOUND),
    ("ConvTranspose2d(4, 6, 3)", "ConvTranspose2d(6, 3)", IMAGE),
    ("ConvTranspose3d(4, 6, 3)", "ConvTranspose3d(6, 3)", SOLID),
    ("BatchNorm1d(4)", "BatchNorm1d", SOUND),
    ("BatchNorm1d(6)", "BatchNorm1d", FLAT),
    ("BatchNorm2d(4)", "BatchNorm2d", IMAGE),
    ("BatchNorm2d(4, 0.1)", "BatchNorm2d(eps=0.1)", IMAGE),
    ("BatchNorm3d(4)", "BatchNorm3d", SOLID),
    ("InstanceNorm1d(4, affine=True)", "InstanceNorm1d(affine=True)", SOUND),
    ("InstanceNorm2d(4, affine=True)", "InstanceNorm2d(affine=True)", IMAGE),
    ("InstanceNorm3d(4, affine=True)", "InstanceNorm3d(affine=True)", SOLID),
    ("GroupNorm(2, 4)", "GroupNorm(2)", IMAGE),
    ("GroupNorm(num_groups=2, num_channels=4)", "GroupNorm(2)", IMAGE),
    ("Linear(6, 3)", "Linear(3)", FLAT),
    ("Linear(6, 3, False)", "Linear(3, bias=False)", TEXT),
    ("LSTM(6, 7, 2)", "LSTM(hidden_size=7, num_layers=2)", TEXT),
    ("GRU(6, 7)", "GRU(hidden_size=7)", TEXT),
    ("RNN(6, 7)", "RNN(hidden_size=7)", TEXT),
    ("LSTMCell(6, 7)", "LSTMCell(hidden_size=7)", FLAT),
    ("GRUCell(6, 7)", "GRUCell(7)", FLAT),
    ("RNNCell(6, 7)", "RNNCell(7)", FLAT),
    ("LayerNorm(6)", "LayerNorm", TEXT),
    ("LayerNorm([6])", "LayerNorm(6)", TEXT),
    ("LayerNorm(6, 0.1)", "LayerNorm(eps=0.1)", TEXT),
    ("RMSNorm(6)", "RMSNorm", TEXT),
    ("MultiheadAttention(6, 2)(x, x, x)", "MultiheadAttention(num_heads=2)(x, x, x)", TEXT),
    (
        "TransformerEncoderLayer(6, 2, 8)",
        "TransformerEncoderLayer(nhead=2, dim_feedforward=8)",
        TEXT,
    ),
    (
        "TransformerDecoderLayer(6, 2, 8)(x, x)",
        "TransformerDecoderLayer(nhead=2, dim_feedforward=8)(x, x)",
        TEXT,
    ),
    ("Bilinear(6, 6, 3)(x, x)", "Bilinear(3)(x, x)", FLAT),
]


@pytest.mark.parametrize(("full", "short", "shape"), EQUAL)
def test_what_is_left_out_is_inferred(full: str, short: str, shape: str) -> None:
    given = {name: value.shape for name, value in net(steps(full, shape=shape)).state_dict().items()}
    inferred = {name: value.shape for name, value in net(steps(short, shape=shape)).state_dict().items()}
    assert given
    assert given == inferred
    with torch.random.fork_rng():
        one, other = ([repr(member.make()) for _, member in made(line, shape)] for line in (full, short))
    assert one == other


def made(line: str, shape: str) -> list[tuple[str, Any]]:
    return list(plan(steps(line, shape=shape)).block.walk())


WRONG = [
    ("Conv2d(5, 6, 3)", IMAGE, "Conv2d says in_channels=5 but its input is (1, 4, 8, 8), which has 4"),
    ("Conv1d(5, 6, 3)", SOUND, "Conv1d says in_channels=5 but its input is (1, 4, 8), which has 4"),
    (
        "ConvTranspose2d(5, 6, 3)",
        IMAGE,
        "ConvTranspose2d says in_channels=5 but its input is (1, 4, 8, 8), which has 4",
    ),
    ("BatchNorm2d(5)", IMAGE, "BatchNorm2d says num_features=5 but its input is (1, 4, 8, 8), which has 4"),
    ("BatchNorm1d(5)", FLAT, "BatchNorm1d says num_features=5 but its input is (1, 6), which has 6"),
    ("InstanceNorm2d(5)", IMAGE, "InstanceNorm2d says num_features=5 but its input is (1, 4, 8, 8), which has 4"),
    ("GroupNorm(1, 5)", IMAGE, "GroupNorm says num_channels=5 but its input is (1, 4, 8, 8), which has 4"),
    ("Linear(5, 3)", FLAT, "Linear says in_features=5 but its input is (1, 6), which has 6"),
    ("LSTM(5, 7)", TEXT, "LSTM says input_size=5 but its input is (1, 5, 6), which has 6"),
    ("GRUCell(5, 7)", FLAT, "GRUCell says input_size=5 but its input is (1, 6), which has 6"),
    ("LayerNorm(5)", TEXT, "LayerNorm says normalized_shape=5 but its input is (1, 5, 6), which has 6"),
    ("LayerNorm([4, 6])", TEXT, "LayerNorm says normalized_shape=(4, 6) but its input is (1, 5, 6), which has (5, 6)"),
    ("RMSNorm(5)", TEXT, "RMSNorm says normalized_shape=5 but its input is (1, 5, 6), which has 6"),
    (
        "MultiheadAttention(4, 2)(x, x, x)",
        TEXT,
        "MultiheadAttention says embed_dim=4 but its input is (1, 5, 6), which has 6",
    ),
    (
        "TransformerEncoderLayer(4, 2, 8)",
        TEXT,
        "TransformerEncoderLayer says d_model=4 but its input is (1, 5, 6), which has 6",
    ),
    ("Bilinear(6, 5, 3)(x, x)", FLAT, "Bilinear says in2_features=5 but its input is (1, 6), which has 6"),
]


@pytest.mark.parametrize(("line", "shape", "message"), WRONG)
def test_a_given_value_that_disagrees_is_refused_once(line: str, shape: str, message: str) -> None:
    assert refused(steps(line, "x + 1", shape=shape)) == [f"3:5: {message}"]


@pytest.mark.parametrize(
    ("line", "shape", "wants"),
    [
        ("Conv2d(6, 3)", "N, 4, 8", "(N, C, H, W)"),
        ("Conv2d(6, 3)", FLAT, "(N, C, H, W)"),
        ("Conv1d(6, 3)", IMAGE, "(N, C, L)"),
        ("Conv3d(6, 3)", IMAGE, "(N, C, D, H, W)"),
        ("BatchNorm2d", FLAT, "(N, C, H, W)"),
        ("BatchNorm1d", IMAGE, "(N, C) or (N, C, L)"),
        ("LSTM(hidden_size=3)", IMAGE, "(T, N, F)"),
        ("LSTM(hidden_size=3, batch_first=True)", FLAT, "(N, T, F)"),
        ("MaxPool2d(2)", FLAT, "(N, C, H, W)"),
    ],
)
def test_ranks_are_checked_first(line: str, shape: str, wants: str) -> None:
    (problem,) = refused(steps(line, shape=shape))
    assert f" wants {wants} but its input is (1, " in problem


@pytest.mark.parametrize(
    ("line", "fact"),
    [
        ("Conv2d", "Conv2d needs out_channels and kernel_size"),
        ("Conv2d(6)", "Conv2d needs kernel_size"),
        ("Conv2d(kernel_size=3)", "Conv2d needs out_channels"),
        ("Conv2d(6, 3, widht=2)", "Conv2d has no argument 'widht'"),
        ("Conv2d(4, 6, 3, out_channels=6)", "Conv2d gets out_channels twice: by position (6) and by name"),
        ("ReLU(1, 2)", "ReLU takes at most 1 argument by position, but 2 are given"),
    ],
)
def test_arguments_that_do_not_bind(line: str, fact: str) -> None:
    (problem,) = refused(steps(line))
    assert problem.split(": ", 1)[1] == fact


def test_positions_are_pytorchs() -> None:
    assert weights(steps("LSTM(6, 2)", shape=TEXT))["0.weight_ih_l0"] == (8, 6)
    dropout = net(steps("Dropout(0.3)")).get_submodule("0")
    assert isinstance(dropout, nn.Dropout)
    assert dropout.p == 0.3


def test_a_shared_module_is_inferred_at_its_first_call_and_checked_later() -> None:
    spec = "input: [N, 4]\nmodules: {fc: Linear(6)}\nlayers:\n  - fc\n  - fc\n"
    assert refused(spec) == ["5:5: Linear says in_features=4 but its input is (1, 6), which has 6"]


@pytest.mark.parametrize(
    ("line", "shape", "result"),
    [
        ("AdaptiveAvgPool2d((None, 1))", IMAGE, (1, 4, 8, 1)),
        ("Upsample(scale_factor=2)", IMAGE, (1, 4, 16, 16)),
        ("PixelShuffle(2)", IMAGE, (1, 1, 16, 16)),
        ("Unfold(3)", IMAGE, (1, 36, 36)),
        ("ZeroPad2d(1)", IMAGE, (1, 4, 10, 10)),
        ("Identity", IMAGE, (1, 4, 8, 8)),
        ("PReLU", IMAGE, (1, 4, 8, 8)),
        ("Softmax(dim=-1)", TEXT, (1, 5, 6)),
        ("Flatten(0)", IMAGE, (256,)),
        ("Unflatten(1, (2, 2))", IMAGE, (1, 2, 2, 8, 8)),
        ("GLU", TEXT, (1, 5, 3)),
        ("ChannelShuffle(2)", IMAGE, (1, 4, 8, 8)),
        ("LocalResponseNorm(2)", IMAGE, (1, 4, 8, 8)),
        ("MaxPool2d(3, 2, padding=1, ceil_mode=True)", IMAGE, (1, 4, 5, 5)),
        ("AvgPool1d(2)", SOUND, (1, 4, 4)),
        ("Conv2d(6, 3, padding='same', dilation=2)", IMAGE, (1, 6, 8, 8)),
        ("Conv2d(6, (3, 1), stride=(2, 1))", IMAGE, (1, 6, 3, 8)),
        ("CosineSimilarity(dim=1)(x, x)", TEXT, (1, 6)),
        ("y, _: MultiheadAttention(num_heads=2, batch_first=True)(x, x, x)", TEXT, (1, 5, 6)),
        (
            "TransformerEncoder(TransformerEncoderLayer(nhead=2, dim_feedforward=8, batch_first=True), 2)",
            TEXT,
            (1, 5, 6),
        ),
        ("TransformerDecoder(TransformerDecoderLayer(nhead=2, dim_feedforward=8), 1)(x, x)", TEXT, (1, 5, 6)),
    ],
)
def test_every_layer_of_torch_works(line: str, shape: str, result: tuple[int, ...]) -> None:
    assert shape_of(steps(line, shape=shape)) == result


def test_layers_are_made_in_the_order_they_run() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        reference = nn.Sequential(nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten(), nn.Linear(216, 5))
    built = net(steps("Conv2d(6, 3)", "BatchNorm2d", "ReLU", "Flatten", "Linear(5)"), seed=3)
    mine, theirs = built.state_dict(), reference.state_dict()
    assert list(mine) == list(theirs)
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)
