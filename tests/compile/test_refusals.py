"""Messages on a refused size: in the words of the spec, with the line that decides."""

from __future__ import annotations

import pytest
import torch

from archscope.errors import SizeError
from tests.compile.written import example, net

HEAD = "input: [N, T, 4]\nparams: {T: 6}\nlayers:\n"
LOOP = "  - for: [j, t]\n    in: enumerate(x.unbind(1))\n    from: zeros(N, 4)\n    do: "


def refusal(text: str, shape: tuple[int, ...]) -> SizeError:
    with pytest.raises(SizeError) as refused:
        net(text)(example(shape))
    return refused.value


@pytest.mark.parametrize(
    ("step", "length", "fact"),
    [
        ("{when: T > 4 and T < 9, do: relu}", 12, "T > 4 and T < 9 is False"),
        ("{when: 0 < T < 9, do: relu}", 12, "0 < T < 9 is False"),
        ("{when: T > 7 or T == 6, do: relu}", 3, "T > 7 or T == 6 is False"),
        ("{when: (T if T > 4 else 0) > 5, do: relu}", 2, "(T if T > 4 else 0) > 5 is False"),
        ("{when: len(x.unbind(1)) == 6, do: relu}", 3, "len(x.unbind(1)) == 6 is False"),
        ("Linear(x.unsqueeze(1).shape[2])(x)", 3, "x.unsqueeze(1).size(2) is 3"),
        ("relu(x) if x[:, 1:].size(1) == 5 else x", 3, "x[:, 1:].size(1) == 5 is False"),
        ("AvgPool1d(prev.shape[1] - 4)", 9, "x.size(1) is 9"),
        ("{do: 'relu(t) if t.size(0) == 6 else t', for: t, in: [x.sum(0), x.sum(0)]}", 3, "x.sum(0).size(0) == 6 is"),
    ],
)
def test_a_fact_uses_the_words_of_the_spec(step: str, length: int, fact: str) -> None:
    assert refusal(f"{HEAD}  - {step}\n", (1, length, 4)).fact.startswith(fact.replace("x.size(1)", "T"))


def test_the_message_quotes_a_value_without_a_label() -> None:
    text = HEAD + "  - s, u: x.split(3, dim=1)\n  - relu(u)\n  - Linear(prev.shape[1] + u.size(1))(x)\n"
    assert refusal(text, (1, 5, 4)).fact.startswith("relu(u).size(1) + u.size(1) is 4 here")


@pytest.mark.parametrize("items", ["zip(x.unbind(1), x.flip(1).unbind(1))", "enumerate(reversed(x.unbind(1)))"])
def test_the_message_quotes_the_line_of_a_list(items: str) -> None:
    text = f"{HEAD}  - for: [u, w]\n    in: {items}\n    from: zeros(N, 4)\n    do: prev + u * w\n"
    assert items in {line.text for _, line in net(text).forward_code.lines}
    weighted = text.replace("prev + u * w", "Linear(4)(prev + u * w)")
    assert refusal(weighted, (1, 3, 4)).fact == f"len({items}) is 3 here, but this net was built for 6"


@pytest.mark.parametrize(
    ("turn", "why"),
    [
        ("prev * (0 if j == 0 else 1 / j) + t", "they differ at prev * (0 if j == 0 else 1 / j) + t (net.yaml:7)"),
        ("LeakyReLU(0.1 * j)(prev + t)", "they differ at LeakyReLU(0.1 * j)(prev + t) (net.yaml:7)"),
        ("[{when: j == 0, do: relu}, prev + t]", "they differ at j == 0 (net.yaml:7)"),
        (
            "BatchNorm1d(affine=False)(prev + t)",
            "every turn has parameters or buffers of its own: BatchNorm1d 4, no affine (net.yaml:7)",
        ),
        ("[prev + t, Linear(4)]", "every turn has parameters or buffers of its own: Linear 4 (net.yaml:7)"),
        ("prev + Parameter(4)", "every turn has parameters or buffers of its own: prev + Parameter(4) (net.yaml:7)"),
    ],
)
def test_a_loop_that_is_written_out_names_the_line_that_decides(turn: str, why: str) -> None:
    error = refusal(HEAD + LOOP + turn + "\n", (1, 3, 4))
    assert error.place == f"enumerate(x.unbind(1)) (net.yaml:5); its turns are written out, as {why}"


def test_a_list_that_grows_is_refused_at_another_length() -> None:
    text = HEAD + "  - {from: '[zeros(N, 4)]', do: '[*prev, t]', for: t, in: x.unbind(1)}\n  - stack(prev, dim=1)\n"
    assert net(text)(example((2, 6, 4))).shape == (2, 7, 4)
    assert refusal(text, (2, 3, 4)).place.endswith("; its turns are written out, as they differ at what they give")


@pytest.mark.parametrize(
    ("step", "wanted"),
    [
        ("x[:, [0] * T]", lambda x, n, t: x[:, [0] * t]),
        ("x[[0] * N]", lambda x, n, t: x[[0] * n]),
        ("x[:, [0, 1] * (T // 2)]", lambda x, n, t: x[:, [0, 1] * (t // 2)]),
        ("x[:, [*range(T), 0] * N]", lambda x, n, t: x[:, [*range(t), 0] * n]),
        ("x.repeat([1] * (x.dim() - 1) + [T])", lambda x, n, t: x.repeat(1, 1, t)),
        ("stack([x] * T)", lambda x, n, t: torch.stack([x] * t)),
        ("cat(x.tensor_split(T, dim=1), dim=1)", lambda x, n, t: x),
        (
            "cat(x.tensor_split(max(1, T // 2), dim=1)[1:] + [x], dim=1)",
            lambda x, n, t: torch.cat([*x.tensor_split(max(1, t // 2), dim=1)[1:], x], 1),
        ),
        ("x * len(x.flip(1).transpose(0, 1).vsplit(T))", lambda x, n, t: x * t),
        (
            "stack(meshgrid(x[0].unbind(1)[:N], indexing='ij'), dim=0).sum() + x",
            lambda x, n, t: torch.stack(torch.meshgrid(*x[0].unbind(1)[:n], indexing="ij")).sum() + x,
        ),
        ("x * sum([T, 2] * N)", lambda x, n, t: x * ((t + 2) * n)),
        ("{for: u, in: '[x, x.tanh()] * T', do: prev * 0.5 + u}", None),
    ],
)
def test_a_list_as_long_as_a_size_says_follows_the_run(step: str, wanted: object) -> None:
    built = net(f"{HEAD}  - {step}\n".replace("- x[", "- prev["))
    for batch, length in ((2, 6), (1, 3), (3, 8)):
        x = example((batch, length, 4))
        if callable(wanted):
            assert torch.allclose(built(x), wanted(x, batch, length))
            continue
        value = x
        for u in [x, x.tanh()] * length:
            value = value * 0.5 + u
        assert torch.equal(built(x), value)
