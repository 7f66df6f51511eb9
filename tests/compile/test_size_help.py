"""The help of a refused size: another net, only if the spec compiles at that size."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import pytest
import torch

import archscope
from archscope.compile import built_net
from archscope.errors import SizeError
from tests.compile.written import example, net

HEAD = "input: [N, T, 4]\nparams: {T: 6}\n"
POSITIONS = HEAD + "layers:\n  - x + Parameter(T, 4)\n"
CHUNKS = HEAD + "layers:\n  - a, b, c: x.chunk(3, dim=1)\n  - cat([a, b, c], dim=1)\n"
DECLARED = (
    HEAD
    + "blocks:\n  B:\n    input: [N, L, D]\n    layers:\n      - Linear(4)\n      - {when: L > 4, do: relu}\n"
    + "modules: {m: B}\nlayers:\n  - a: m(x)\n  - b: m(x[:, :T - 1])\n  - a.sum() + b\n"
)


def refusal(text: str, shape: tuple[int, ...]) -> SizeError:
    with pytest.raises(SizeError) as refused:
        net(text)(example(shape))
    return refused.value


@pytest.mark.parametrize(
    ("text", "shape", "why"),
    [
        (CHUNKS, (1, 1, 4), "3 labels, but the step gives 1 values (net.yaml:4)"),
        (
            DECLARED,
            (1, 5, 4),
            "module m would do other steps here than at its first call, at other sizes (net.yaml:12)",
        ),
        (HEAD + "layers:\n  - x + Parameter(T, 4)\n  - {when: T > 6, do: view(7)}\n", (2, 8, 4), "view"),
    ],
    ids=["labels", "declared", "later"],
)
def test_a_size_that_the_spec_refuses_has_no_help(text: str, shape: tuple[int, ...], why: str) -> None:
    error = refusal(text, shape)
    assert error.help.startswith("the spec does not compile at this size either: ")
    assert why in error.help
    assert str(error).endswith(f"\n  help: {error.help}")


def test_a_size_that_the_spec_accepts_has_help() -> None:
    assert refusal(POSITIONS, (2, 3, 4)).help == "archscope.build('net.yaml', input=(2, 3, 4)) builds it for this size"
    assert "builds it for this size" in refusal(DECLARED, (1, 4, 4)).help


def test_a_size_that_would_take_long_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(built_net, "MAX_DIMENSION", 8)
    assert refusal(POSITIONS, (2, 9, 4)).help == ""
    assert "help" not in str(refusal(POSITIONS, (2, 9, 4)))


def test_a_pickle_of_the_error_keeps_the_help() -> None:
    error = refusal(POSITIONS, (2, 3, 4))
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error)
    assert (again.fact, again.path, again.help) == (error.fact, error.path, error.help)


def test_a_pickle_of_the_net_does_not_hold_its_spec_and_a_copy_does() -> None:
    built = net(POSITIONS)
    loaded, copied = pickle.loads(pickle.dumps(built)), copy.deepcopy(built)
    assert (loaded.size_help, copied.size_help) == (None, built.size_help)
    suggestion = "archscope.build('net.yaml', input=(1, 3, 4)) builds it for this size"
    for module, help in ((loaded, ""), (copied, suggestion)):
        with pytest.raises(SizeError, match="T is 3 here, but this net was built for 6") as refused:
            module(example((1, 3, 4)))
        assert refused.value.help == help


def test_nets_with_equal_forwards_have_separate_help() -> None:
    """Both forwards are equal at this size; one of the specs compiles at another size."""
    other = POSITIONS + "  - {when: T > 6, do: view(7)}\n"
    taken, refused = net(POSITIONS + "  - {when: T > 6, do: relu}\n"), net(other)
    assert type(taken) is type(refused)
    for built, help in ((taken, "builds it for this size"), (refused, "does not compile at this size either")):
        with pytest.raises(SizeError, match=help):
            built(example((2, 8, 4)))


def test_a_param_that_the_input_determines_is_not_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.yaml").write_text(POSITIONS.replace("6}", "6, k: 1}").replace("x +", "k * x +"))
    built = archscope.build("net.yaml", set={"T": 5, "k": 3}, seed=0)
    with pytest.raises(SizeError) as refused:
        built(example((2, 8, 4)))
    said = refused.value.help.removesuffix(" builds it for this size")
    assert said == "archscope.build('net.yaml', set={'k': 3}, input=(2, 8, 4))"
    again = archscope.build("net.yaml", set={"k": 3}, input=(2, 8, 4), seed=0)
    assert isinstance(again(example((2, 8, 4))), torch.Tensor)


def test_an_error_in_the_help_does_not_hide_the_refusal() -> None:
    built = net(POSITIONS)

    def broken(_: object) -> object:
        raise RuntimeError("a mode of torch's is on")

    object.__setattr__(built.size_help, "compile_at", broken)
    with pytest.raises(SizeError, match="T is 3 here, but this net was built for 6") as refused:
        built(example((1, 3, 4)))
    assert refused.value.help == ""
