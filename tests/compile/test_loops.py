"""Loops whose length is a size are loops of the built net; those with weights of their own are written out."""

from __future__ import annotations

import weakref
from collections.abc import Callable

import pytest
import torch

from archscope.analysis.plan_costs import plan_costs
from archscope.compile import has_uneven_loops
from archscope.errors import SizeError, SpecError
from tests.compile.written import example, net, plan, run_by_recorder, same

CELL = """
input: [N, T, 4]
params: {T: 6}
modules: {ih: Linear(4), hh: Linear(4)}
layers:
%s
"""


def loop(*lines: str) -> str:
    return CELL % "\n".join(f"  {line}" for line in lines)


FOLLOWED: dict[str, tuple[str, Callable[..., torch.Tensor]]] = {
    "for": (
        loop("- h: tanh(ih(t) + hh(prev))", "  from: zeros(N, 4)", "  for: t", "  in: x.unbind(1)"),
        lambda x, ih, hh: cell(x, ih, hh)[-1],
    ),
    "repeat": (
        loop("- h: tanh(ih(x[:, i]) + hh(prev))", "  from: zeros(N, 4)", "  repeat: T"),
        lambda x, ih, hh: cell(x, ih, hh)[-1],
    ),
    "collect": (
        loop(
            *("- h: tanh(ih(t) + hh(prev))", "  from: zeros(N, 4)", "  for: t", "  in: x.unbind(1)", "  collect: all"),
            "- stack([*all, all[-1]], dim=1) * len(all)",
        ),
        lambda x, ih, hh: torch.stack([*cell(x, ih, hh), cell(x, ih, hh)[-1]], 1) * x.shape[1],
    ),
    "steps": (
        loop(
            *("- do:", "    - a: ih(t)", "    - Dropout(0.5)", "    - residual: [hh, ReLU]"),
            *("    - a + prev * (i + 1)", "  from: zeros(N, 4)", "  for: t", "  in: x.unbind(1)"),
        ),
        lambda x, ih, hh: stepped(x, ih, hh),
    ),
    "table": (
        loop(
            *("- do: prev + a * n - b", "  from: zeros(N, 4)", "  for: [n, a, b]"),
            "  in: zip(range(1, T + 1), x.unbind(1), reversed(x.unbind(1)))",
        ),
        lambda x, ih, hh: tabled(x),
    ),
    "nested": (
        loop(
            *("- do:", "    - do: prev * 0.5 + t * u", "      for: u", "      in: x.unbind(1)"),
            *("  from: zeros(N, 4)", "  for: t", "  in: x.unbind(1)"),
        ),
        lambda x, ih, hh: nested(x),
    ),
    "growing": (
        loop(
            *("- do: cat([prev, t.unsqueeze(1)], dim=1)", "  from: x[:, :1]", "  for: t", "  in: x.unbind(1)"),
            "- prev.sum(1)",
        ),
        lambda x, ih, hh: torch.cat([x[:, :1], x], dim=1).sum(1),
    ),
    "edges": (
        loop(
            *("- do: prev + t * (2 if first else 3 if last else 1)", "  from: zeros(N, 4)"),
            *("  for: t", "  in: x.unbind(1)"),
        ),
        lambda x, ih, hh: summed(
            t * (2 if i == 0 else 3 if i == x.shape[1] - 1 else 1) for i, t in enumerate(x.unbind(1))
        ),
    ),
}  # fmt: skip


def cell(x: torch.Tensor, ih: torch.nn.Module, hh: torch.nn.Module) -> list[torch.Tensor]:
    states = [torch.zeros(len(x), 4)]
    for t in x.unbind(1):
        states.append(torch.tanh(ih(t) + hh(states[-1])))
    return states[1:]


def stepped(x: torch.Tensor, ih: torch.nn.Module, hh: torch.nn.Module) -> torch.Tensor:
    h = torch.zeros(len(x), 4)
    for i, t in enumerate(x.unbind(1)):
        a = ih(t)
        h = a + (torch.relu(hh(a)) + a) * (i + 1)
    return h


def summed(parts) -> torch.Tensor:  # type: ignore[no-untyped-def]
    total = torch.zeros(())
    for part in parts:
        total = total + part
    return total


def tabled(x: torch.Tensor) -> torch.Tensor:
    h = torch.zeros(len(x), 4)
    for n, (a, b) in enumerate(zip(x.unbind(1), x.unbind(1)[::-1], strict=True)):
        h = h + a * (n + 1) - b
    return h


def nested(x: torch.Tensor) -> torch.Tensor:
    h = torch.zeros(len(x), 4)
    for t in x.unbind(1):
        for u in x.unbind(1):
            h = h * 0.5 + t * u
    return h


@pytest.mark.parametrize(("text", "wanted"), FOLLOWED.values(), ids=FOLLOWED)
def test_a_loop_follows_the_length_of_its_input(text: str, wanted: Callable[..., torch.Tensor]) -> None:
    built = net(text)
    members = dict(built.named_modules())
    for shape in ((2, 6, 4), (3, 9, 4), (1, 2, 4)):
        x = example(shape)
        assert torch.equal(built(x), wanted(x, members.get("ih"), members.get("hh")))


@pytest.mark.parametrize(("text", "wanted"), FOLLOWED.values(), ids=FOLLOWED)
def test_the_recorder_computes_the_same(text: str, wanted: object) -> None:
    x = example((1, 6, 4))
    same(run_by_recorder(text, net(text).state_dict(), (x,)), net(text)(x))


def test_every_turn_of_a_loop_has_rows(tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    import archscope

    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.yaml").write_text(FOLLOWED["for"][0])
    report = archscope.summarize("net.yaml", input=(1, 3, 4))
    linear = [row.path for row in report.rows if row.row.function.endswith("linear")]
    assert linear == [f"h.{turn}" for turn in range(3) for _ in (0, 1)]
    assert report.total.macs == 3 * 2 * 16


def test_a_loop_with_weights_of_its_own_is_written_out() -> None:
    text = loop("- do: Linear(4)", "  repeat: T")
    built = net(text)
    assert [name for name in built.state_dict() if name.endswith("weight")] == [f"0.{turn}.weight" for turn in range(6)]
    assert "for " not in built.code
    with pytest.raises(SizeError, match=r"T is 5 here, but this net was built for 6\n  at 0: T \(net.yaml:7\)"):
        built(example((1, 5, 4)))


def test_turns_that_are_built_differently_are_written_out() -> None:
    text = loop("- do: [{when: i % 2, do: relu, else: tanh}]", "  repeat: T")
    x = example((1, 6, 4))
    assert torch.equal(net(text)(x), x.tanh().relu().tanh().relu().tanh().relu())
    with pytest.raises(SizeError, match="T is 5 here"):
        net(text)(x[:, :5])


def test_a_layer_without_weights_is_one_for_all_turns() -> None:
    text = loop("- do: [Dropout(0.1), Tanh]", "  repeat: T")
    assert [name for name, _ in net(text).named_children()] == ["0"]
    assert plan(text).parameter_count == 0


def test_a_loop_without_a_turn_at_the_compiled_size_follows_too() -> None:
    text = loop("- do: prev * 2", "  repeat: T - 6")
    x = example((1, 8, 4))
    assert torch.equal(net(text)(x), x * 4)


NAMES = """
input: [N, T, 4]
params: {T: 3}
modules: {a: Linear(4)}
layers:
  - repeat: T
    do:
      - y: a(prev)
      - a: Tanh()
      - turn_left: Sigmoid()
      - turn: ReLU()
"""


def test_labels_of_a_turn_may_be_those_of_the_block_around_it() -> None:
    built, x = net(NAMES), example((2, 5, 4))
    wanted = x
    for _ in range(5):
        wanted = built.get_submodule("a")(wanted).tanh().sigmoid().relu()
    assert torch.equal(built(x), wanted)
    same(run_by_recorder(NAMES, built.state_dict(), (x[:1, :3],)), built(x[:1, :3]))


def test_turns_that_fix_their_number_are_written_out() -> None:
    text = loop("- do: acts[i]", "  repeat: T").replace(
        "modules:", "let: {acts: [ReLU, Tanh, ReLU, ReLU, ReLU, ReLU]}\nmodules:"
    )
    x = example((1, 6, 4))
    assert torch.equal(net(text)(x), x.relu().tanh().relu())
    with pytest.raises(SizeError, match="T is 5 here"):
        net(text)(x[:, :5])


def test_an_unfit_layer_in_a_loop_is_reported_with_its_input(tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    import archscope

    monkeypatch.chdir(tmp_path)
    text = loop("- h: flatten(0, 2)", "- from: x", "  repeat: T", "  do: ['prev + MaxPool2d(2)(h).sum()']")
    (tmp_path / "net.yaml").write_text(text)
    assert any("MaxPool2d" in finding.message for finding in archscope.summarize("net.yaml").findings)


def test_a_number_from_the_enclosing_block_may_be_infinite() -> None:
    text = "input: [N, T, 4]\nparams: {T: 3}\nblocks:\n  B(k): ['clamp(x, max=k)']\nlayers: [B(T * inf)]\n"
    x = example((1, 4, 4))
    assert torch.equal(net(text)(x), x)


NEVER = "input: [N, T, 4]\nparams: {T: 4}\n"


@pytest.mark.parametrize(
    "text",
    [
        NEVER + "blocks:\n  B: ['reshape(x, N, 7)']\nlayers:\n  - {repeat: T - 4, do: B}\n  - B\n",
        NEVER + "let: {k: 8 // (T - 4)}\nlayers:\n  - {repeat: T - 4, do: prev * k}\n  - prev * k\n",
    ],
    ids=["block", "let"],
)
def test_a_problem_of_a_turn_that_does_not_run_is_reported_once_it_runs(text: str) -> None:
    with pytest.raises(SpecError) as refused:
        plan(text)
    assert refused.value.problems[0].message


def test_a_turn_that_never_runs_calls_no_module_first() -> None:
    text = NEVER + "modules: {fc: Linear(4)}\nlayers:\n  - {repeat: T - 4, do: [fc, relu]}\n  - x[:, :, :3]\n  - fc\n"
    assert net(text)(example((2, 4, 4))).shape == (2, 4, 4)


def test_nested_loops_of_too_many_turns_are_refused() -> None:
    text = "input: [N, T, 4]\nparams: {T: 2000}\nlayers:\n  - repeat: T\n    do: [{repeat: T, do: relu}]\n"
    with pytest.raises(SpecError) as refused:
        plan(text)
    assert "nested loops of 4,000,000 turns" in refused.value.problems[0].message


def test_a_size_that_is_required_in_a_loop_has_the_loops_path() -> None:
    text = "input: [N, T, 4]\nparams: {T: 1}\nlayers:\n  - lp: [{a: relu}, {b: prev + 1, when: i < 1}]\n    repeat: T\n"
    with pytest.raises(SizeError, match=r"i < 1 is False here.*\n  at lp.b: i < 1 \(net.yaml:4\)"):
        net(text)(example((1, 3, 4)))


def test_a_list_of_another_length_is_reported_with_its_place() -> None:
    text = loop("- do: prev + t * k", "  from: x[:, 0]", "  for: [t, k]", "  in: zip(x.unbind(1), range(6))")
    with pytest.raises(ValueError, match=r"(?s)zip\(\).*\n  at 0.in: zip\(.*\(net.yaml:9\)"):
        net(text)(example((1, 5, 4)))


class LiveResults(torch.overrides.TorchFunctionMode):
    """Counts the largest number of results of tanh that are alive at once."""

    def __init__(self) -> None:
        super().__init__()
        self.alive, self.most = weakref.WeakSet[torch.Tensor](), 0

    def __torch_function__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        out = func(*args, **(kwargs or {}))
        if func is torch.nn.functional.tanh or getattr(func, "__name__", "") == "tanh":
            self.alive.add(out)
            self.most = max(self.most, len(self.alive))
        return out


@pytest.mark.parametrize("way", ["built", "run_by_recorder"])
def test_a_loop_keeps_no_more_than_its_state(way: str) -> None:
    text, x = loop("- do: tanh", "  repeat: T"), example((1, 6, 4))
    built = net(text)
    with torch.no_grad(), LiveResults() as results:
        _ = built(x) if way == "built" else run_by_recorder(text, built.state_dict(), (x,))
    assert results.most == 2


def test_the_cost_of_a_loop_is_unknown_if_its_turns_differ() -> None:
    grows = plan(FOLLOWED["growing"][0])
    assert has_uneven_loops(grows.block)
    assert plan_costs(grows) is None
    assert not has_uneven_loops(plan(FOLLOWED["nested"][0]).block)


def test_a_block_alone_wants_the_sizes_that_it_takes_from_around_it() -> None:
    built = net("input: [N, T, 4]\nparams: {T: 3}\nblocks:\n  B(k): [x * k]\nlayers: [{b: B(T)}]\n")
    x = example((1, 5, 4))
    assert torch.equal(built(x), x * 5)
    with pytest.raises(TypeError, match="'k'"):
        built.get_submodule("b")(x)
    assert torch.equal(built.get_submodule("b")(x, 5), x * 5)
