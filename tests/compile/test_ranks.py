"""Numbers of dimensions that sizes decide: the same as a forward of PyTorch, or refused with the step."""

from __future__ import annotations

import pytest
import torch

from archscope.errors import SizeError
from tests.compile.written import example, net

HEAD = "input: [N, T, 4]\nparams: {T: 6}\nlayers:\n"
LENGTH = HEAD + "  - s: squeeze(0)\n  - STEP\n"


@pytest.mark.parametrize(
    "step",
    [
        "x * len(s.shape)",
        "x * sum(s.shape)",
        "x * max(s.shape)",
        "x * min(s.shape)",
        "x * sum(s.shape[1:])",
        "x * len(s.size())",
        "s.reshape(s.shape)",
        "s.reshape(*s.shape, 1)",
        "zeros(s.shape) + s",
        "s + zeros(s.shape[2]) if s.shape == [2, 3, 4] else s",
        "x * [1, 2, 3][len(s.shape) - 1]",
        "relu(s).view(relu(s).shape)",
        "(s * Linear(4)(s)).reshape(s.shape)",
        "{for: t, in: x.unbind(1), do: prev + len(s.shape)}",
    ],
)
def test_what_reads_a_whole_shape_wants_its_length(step: str) -> None:
    """`squeeze(0)` keeps the dimension where there are several in the batch."""
    built = net(LENGTH.replace("STEP", step))
    assert built(example((1, 3, 4))) is not None
    with pytest.raises(SizeError, match=r"dim\(\) is 3 here, but this net was built for 2\n  at 1: ") as refused:
        built(example((2, 3, 4)))
    assert "(net.yaml:5)" in str(refused.value)


def test_a_mean_that_is_squeezed_is_reshaped_at_one_rank() -> None:
    built = net(HEAD + "  - m: x.mean(1).squeeze()\n  - m.reshape(m.shape[0], -1, *m.shape[1:])\n")
    assert built(x := example((1, 9, 4))).shape == (4, 1)
    assert torch.equal(built(x)[:, 0], x.mean(1)[0])
    with pytest.raises(SizeError, match=r"m.dim\(\) is 2 here, but this net was built for 1"):
        built(example((2, 6, 4)))


@pytest.mark.parametrize("step", ["s * s.shape[-1] * s.size(0)", "s * s.dim()", "s.sum(-1).unsqueeze(0)"])
def test_what_reads_no_length_works_at_every_rank(step: str) -> None:
    built = net(LENGTH.replace("STEP", step))
    for shape in ((1, 6, 4), (1, 3, 4), (2, 3, 4)):
        x = example(shape)
        s = x.squeeze(0)
        wanted = {"s * s.s": s * s.shape[-1] * s.size(0), "s * s.d": s * s.dim()}.get(step[:7], s.sum(-1)[None])
        assert torch.equal(built(x), wanted)


def test_a_shape_of_certain_length_is_not_asked_for_it() -> None:
    built = net(HEAD + "  - s: squeeze(x, 0).reshape(N, T, 4)\n  - s.view(*s.shape, 1) * len(x.shape)\n")
    assert "require(" not in built.code
    assert built(x := example((3, 2, 4))).shape == (3, 2, 4, 1)
    assert torch.equal(built(x)[..., 0], x * 3)


def test_a_choice_that_reads_a_dimension_which_may_be_missing_is_decided() -> None:
    built = net(LENGTH.replace("STEP", "x * (s.size(1) if s.dim() == 2 else 3)"))
    assert torch.equal(built(x := example((1, 3, 4))), x * 4)
    with pytest.raises(SizeError, match=r"s.dim\(\) == 2 is False here"):
        built(example((2, 3, 4)))


@pytest.mark.parametrize("turn", ["prev.unsqueeze(0)", "prev.squeeze(0) + 0 * t[0, 0]"])
def test_turns_that_change_the_rank_leave_it_open(turn: str) -> None:
    built = net(HEAD.replace("6", "1") + f"  - {{for: t, in: x.unbind(1), do: '{turn}'}}\n  - prev * len(prev.shape)\n")
    assert "for " in built.code
    with pytest.raises(SizeError, match=r"dim\(\) is \d here, but this net was built for \d\n  at 1: "):
        built(example((2, 3, 4)))


@pytest.mark.parametrize("step", ["flatten(N)", "sum(-1, keepdim=N > 1)", "view([N, T] + [2] * (2 * N))"])
def test_a_number_of_the_run_may_decide_the_rank(step: str) -> None:
    built = net(HEAD + f"  - s: {step}\n  - x * len(s.shape)\n")
    rank = {"f": 2, "s": 2, "v": 4}[step[0]]
    assert torch.equal(built(x := example((1, 3, 4))), x * rank)
    with pytest.raises(SizeError, match=rf"s.dim\(\) is {rank + 1 + (step[0] == 'v')} here") as refused:
        built(example((2, 6, 4) if step[0] != "v" else (2, 6, 16)))
    assert "at 1: x * len(s.shape) (net.yaml:5)" in str(refused.value)


HEADED = """
input: [N, 8, H, W]
params: {H: 6, W: 6}
blocks:
  Head:
    input: [C]
    layers: [prev / C]
layers:
  - mean((2, 3))
  - squeeze
  - Head
"""


def test_the_declared_rank_of_a_block_is_required_where_sizes_decide_it() -> None:
    built = net(HEADED)
    assert torch.allclose(built(x := example((1, 8, 5, 6))), x.mean((2, 3))[0] / 8)
    with pytest.raises(SizeError, match=r"x.dim\(\) is 2 here, but this net was built for 1\n  at 2: ") as refused:
        built(example((2, 8, 6, 6)))
    assert "x of Head (net.yaml:6)" in str(refused.value)
    assert "archscope.build" not in str(refused.value)


def test_one_block_for_a_certain_and_an_open_rank() -> None:
    """The same shapes, but the second call may come in with another rank."""
    text = "input: [N, T, 4]\nparams: {T: 6}\nblocks:\n  B:\n    - prev * len(prev.shape)\n"
    built = net(text + "layers:\n  - y: B()(x[0])\n  - z: B()(x.squeeze(0))\n  - y + z\n")
    assert torch.equal(built(x := example((1, 3, 4))), x[0] * 4)
    with pytest.raises(SizeError, match=r"at z\.0: "):
        built(example((2, 3, 4)))
