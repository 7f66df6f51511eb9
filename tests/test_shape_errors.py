"""Shape checks against torch: a ShapeProblem exactly where torch refuses, with the output shape of the corrected call.

name, Random → a call of small tensors → a problem ⇔ torch raises        intended_shape = that of the corrected call
"""

from __future__ import annotations

import operator
import warnings
from collections.abc import Callable
from random import Random
from typing import Any, NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from archscope.compile.block_use import CHECKED_FIRST
from archscope.ops.shape_errors import SHAPE_CHECKS, Dims, ShapeProblem, find_shape_problem, is_reordered
from archscope.record.op_call import as_dims
from archscope.trace import WrongArgument
from tests.record.runs import recorded

Shape = tuple[int, ...]
DRAWS = 150


class Drawn(NamedTuple):
    """A call. corrected: its arguments with operands that fit, if there is only one such correction."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    corrected: tuple[Any, ...] | None = None


def made(shape: Shape) -> Tensor:
    return torch.zeros(shape)


def sizes(rng: Random, rank: int, *, most: int = 4) -> Shape:
    return tuple(rng.randint(1, most) for _ in range(rank))


def nearly(rng: Random, shape: Shape, *, chance: float = 0.25) -> Shape:
    """Return the shape with some sizes replaced at random."""
    return tuple(rng.randint(1, 4) if rng.random() < chance else size for size in shape)


# ------------------------------------------------------------ the calls
def element_by_element(function: Callable[..., Any]) -> Callable[[Random], Drawn]:
    def draw(rng: Random) -> Drawn:
        first = sizes(rng, rng.randint(0, 4))
        second = nearly(rng, first)[rng.randint(0, 2) :]
        both = (first, second) if rng.random() < 0.5 else (second, first)
        return Drawn(function, tuple(map(made, both)), {}, (made(both[0]), made(both[0])))

    return draw


def joined(function: Callable[..., Any], *, new: bool) -> Callable[[Random], Drawn]:
    """Return lists of values. Corrected: images along their channels if they fit there, else with sizes that fit."""

    def draw(rng: Random) -> Drawn:
        first = sizes(rng, rng.randint(1, 4))
        others = [nearly(rng, first, chance=0.15) for _ in range(rng.randint(0, 3))]
        others = [shape if rng.random() < 0.95 else shape[1:] for shape in others]
        rank = len(first) + new
        dim = rng.randint(-rank, rank - 1) if new or rng.random() < 0.95 else rank
        said = {"dim": dim} if rng.random() < 0.5 else {}
        args = () if said else (dim,)
        alike = {len(shape) for shape in others} <= {len(first)}
        channels = rank == 4 and dim < rank and fit(first, others, 1)
        better = 1 if channels or dim >= rank > 3 else dim if dim < rank else rank - 1
        rest = [first if new else fitting(first, shape, better) for shape in others] if new or alike else []
        corrected = (list(map(made, (first, *rest))), dim if new else better)
        return Drawn(function, (list(map(made, (first, *others))), *args), said, corrected)

    return draw


def fit(first: Shape, others: list[Shape], dim: int) -> bool:
    return all(len(shape) == len(first) and fitting(first, shape, dim) == shape for shape in others)


def fitting(first: Shape, shape: Shape, dim: int) -> Shape:
    """Return a shape that fits the first one: with its own size along `dim` only."""
    return tuple(n if axis == dim % len(first) else m for axis, (m, n) in enumerate(zip(first, shape, strict=True)))


def product(name: str, left_rank: int, right_rank: int) -> Callable[[Random], Drawn]:
    def draw(rng: Random) -> Drawn:
        left, right = sizes(rng, left_rank), sizes(rng, right_rank)
        right = (*left[: max(right_rank - 2, 0)][-max(right_rank - 2, 0) :], *right[-2:]) if right_rank > 2 else right
        right = nearly(rng, right, chance=0.1)
        inner = max(right_rank - 2, 0)
        if rng.random() < 0.6:
            right = (*right[:inner], left[-1], *right[inner + 1 :])
        good = (*left[:-2][: max(right_rank - 2, 0)], left[-1], *right[inner + 1 :])
        if right_rank > 1 and right[inner] != left[-1] == right[-1]:  # probably the right operand should be transposed
            good = (*good[:-1], right[inner])
        return Drawn(getattr(torch, name), (made(left), made(right)), {}, (made(left), made(good)))

    return draw


def attention(rng: Random) -> Drawn:
    batch = sizes(rng, rng.randint(1, 2), most=3)
    length, width, keys, values = sizes(rng, 4, most=5)
    query, key = (*batch, length, width), nearly(rng, (*batch, keys, width), chance=0.15)
    other = len(batch) == 1 and rng.random() < 0.3  # with heads, CPU's fused kernel does not compare the lengths
    value = (*key[:-2], rng.randint(1, 4) if other else key[-2], values)
    good = (made(query), made((*batch, keys, width)), made((*batch, keys, values)))
    return Drawn(F.scaled_dot_product_attention, tuple(map(made, (query, key, value))), {}, good)


def grouped_attention(rng: Random) -> Drawn:
    """Return a call in which each head of keys and values serves several heads of the query."""
    n, heads, times, length = sizes(rng, 4, most=3)
    width, keys, kept = sizes(rng, 3)
    key, good = ((n, heads, keys, w) for w in (width if rng.random() < 0.6 else kept, width))
    args = [(made((n, heads * times, length, width)), made(shape), made((*shape[:-1], kept))) for shape in (key, good)]
    return Drawn(F.scaled_dot_product_attention, args[0], {"enable_gqa": True}, args[1])


def masked_attention(rng: Random) -> Drawn:
    """Return a call with a mask that is as large as the scores or broadcasts to them."""
    n, heads, length, keys = sizes(rng, 4, most=4)
    query, key = (n, heads, length, 3), (n, heads, keys, 3)
    scores = (n, heads, length, keys)
    fitting_mask = tuple(size if rng.random() < 0.8 else 1 for size in scores)[rng.randint(0, 2) :]
    mask = made(nearly(rng, fitting_mask, chance=0.15))
    both = made(query), made(key), made(key)
    return Drawn(F.scaled_dot_product_attention, (*both, mask), {}, (*both, made(scores)))


def compared_along(rng: Random) -> Drawn:
    first = sizes(rng, rng.randint(2, 4))
    second = nearly(rng, first)
    return Drawn(F.cosine_similarity, (made(first), made(second)), {"dim": -1}, (made(first), made(first), -1))


def viewed(name: str) -> Callable[[Random], Drawn]:
    def draw(rng: Random) -> Drawn:
        shape, new = sizes(rng, rng.randint(1, 4)), list(sizes(rng, rng.randint(1, 3), most=6))
        if rng.random() < 0.6:
            new[rng.randrange(len(new))] = -1
        spelt = tuple(new) if rng.random() < 0.5 or name == "reshape" else None
        function = getattr(torch.Tensor, name)
        return Drawn(function, (made(shape), spelt) if spelt else (made(shape), *new), {})

    return draw


def indexed(rng: Random) -> Drawn:
    shape = sizes(rng, rng.randint(1, 3))
    return Drawn(operator.getitem, (made(shape), rng.randint(-6, 5)), {}, (made(shape), 0))


def convolved(axes: int, *, transposed: bool) -> Callable[[Random], Drawn]:
    function = getattr(F, f"conv{'_transpose' * transposed}{axes}d")

    def draw(rng: Random) -> Drawn:
        groups, inner, out = rng.randint(1, 2), rng.randint(1, 3), rng.randint(1, 3)
        kernel = sizes(rng, axes, most=3)
        weight = (groups * inner, out, *kernel) if transposed else (groups * out, inner, *kernel)
        small = not transposed and rng.random() < 0.2
        spatial = tuple(rng.randint(1 if small else 5, 9) for _ in range(axes))
        has = groups * inner if rng.random() < 0.5 else rng.randint(1, 7)
        batch = (2,) if rng.random() < 0.8 else ()
        said: dict[str, Any] = {"stride": rng.randint(1, 3), "padding": sizes(rng, axes, most=2), "dilation": 1}
        said["groups"] = groups
        if not transposed:
            said["dilation"] = rng.randint(1, 2)
            said["padding"] = said["padding"] if rng.random() < 0.8 else "valid" if rng.random() < 0.5 else 0
        elif said["stride"] > 1:
            said["output_padding"] = 1
        least = spatial if transposed else large_enough(spatial, kernel, said["padding"], said["dilation"])
        args = [(made((*batch, c, *size)), made(weight)) for c, size in ((has, spatial), (groups * inner, least))]
        return Drawn(function, args[0], said, args[1])

    return draw


def large_enough(spatial: Shape, kernel: Shape, padding: Any, dilation: int) -> Shape:
    """Return the nearest sizes that a window fits into."""
    around = padding if isinstance(padding, tuple) else (0,) * len(kernel)
    return tuple(max(n, dilation * (k - 1) + 1 - 2 * p) for n, k, p in zip(spatial, kernel, around, strict=True))


def pooled(kind: str, axes: int) -> Callable[[Random], Drawn]:
    function = getattr(F, f"{kind}_pool{axes}d")

    def draw(rng: Random) -> Drawn:
        kernel = sizes(rng, axes)
        spatial = tuple(rng.randint(1 if rng.random() < 0.1 else 4, 9) for _ in range(axes))
        padding = tuple(rng.randint(0, k // 2 if rng.random() < 0.9 else 3) for k in kernel)
        fitting = tuple(min(p, k // 2) for p, k in zip(padding, kernel, strict=True))
        said: dict[str, Any] = {"ceil_mode": rng.random() < 0.3}
        batch = (2,) if rng.random() < 0.8 else ()
        stride = rng.randint(1, 3) if rng.random() < 0.8 else None
        bare = kind == "avg" and axes == 3
        around = (0,) * axes if bare else fitting
        least = large_enough(spatial, kernel, around, 1)
        if said["ceil_mode"] and not bare:
            least = tuple(
                n if n + 2 * p + (stride or k) > k else m
                for n, m, k, p in zip(spatial, least, kernel, fitting, strict=True)
            )
        args = [
            (made((*batch, 2, *size)), kernel, stride or kernel, p)
            for size, p in ((spatial, padding), (least, fitting))
        ]
        return Drawn(function, args[0], said, args[1])

    return draw


def mapped(rng: Random) -> Drawn:
    shape, weight = sizes(rng, rng.randint(1, 4)), made(sizes(rng, 2))
    right = (*shape[:-1], weight.shape[1])
    return Drawn(F.linear, (made(shape if rng.random() < 0.6 else right), weight), {}, (made(right), weight))


def batch_normed(rng: Random) -> Drawn:
    shape = sizes(rng, rng.randint(2, 4))
    features = shape[1] if rng.random() < 0.5 else rng.randint(1, 4)
    args = [(made(shape), made((n,)), torch.ones(n)) for n in (features, shape[1])]
    return Drawn(F.batch_norm, args[0], {}, args[1])


def group_normed(rng: Random) -> Drawn:
    shape = (2, *sizes(rng, rng.randint(1, 3)))  # one value per group is refused for another reason
    features = shape[1] if rng.random() < 0.5 else rng.randint(1, 4)
    args = [(made(shape), 1, made((n,))) for n in (features, shape[1])]
    return Drawn(F.group_norm, args[0], {}, args[1])


def layer_normed(name: str) -> Callable[[Random], Drawn]:
    def draw(rng: Random) -> Drawn:
        shape = sizes(rng, rng.randint(2, 4))
        right = shape[-rng.randint(1, 2) :]
        return Drawn(getattr(F, name), (made(shape), nearly(rng, right)), {}, (made(shape), right))

    return draw


CALLS: dict[str, Callable[[Random], Drawn]] = {
    "add": element_by_element(operator.add),
    "sub": element_by_element(operator.sub),
    "mul": element_by_element(torch.mul),
    "div": element_by_element(torch.div),
    "truediv": element_by_element(operator.truediv),
    "pow": element_by_element(operator.pow),
    "floordiv": element_by_element(operator.floordiv),
    "remainder": element_by_element(torch.remainder),
    "maximum": element_by_element(torch.maximum),
    "minimum": element_by_element(torch.minimum),
    **{name: element_by_element(getattr(torch, name)) for name in ("fmod", "atan2", "hypot")},
    **{name: element_by_element(getattr(torch, name)) for name in ("lt", "le", "gt", "ge", "eq", "ne")},
    **{name: element_by_element(getattr(F, name)) for name in ("l1_loss", "mse_loss", "smooth_l1_loss", "huber_loss")},
    "cosine_similarity": compared_along,
    "cat": joined(torch.cat, new=False),
    "concat": joined(torch.concat, new=False),
    "stack": joined(torch.stack, new=True),
    "matmul 1 1": product("matmul", 1, 1),
    "matmul 2 1": product("matmul", 2, 1),
    "matmul 2 2": product("matmul", 2, 2),
    "matmul 3 2": product("matmul", 3, 2),
    "matmul 3 3": product("matmul", 3, 3),
    "matmul 4 4": product("matmul", 4, 4),
    "mm": product("mm", 2, 2),
    "mv": product("mv", 2, 1),
    "bmm": product("bmm", 3, 3),
    "scaled_dot_product_attention": attention,
    "scaled_dot_product_attention gqa": grouped_attention,
    "scaled_dot_product_attention mask": masked_attention,
    "view": viewed("view"),
    "reshape": viewed("reshape"),
    "getitem": indexed,
    "linear": mapped,
    **{f"conv{d}d": convolved(d, transposed=False) for d in (1, 2, 3)},
    **{f"conv_transpose{d}d": convolved(d, transposed=True) for d in (1, 2, 3)},
    **{f"{kind}_pool{d}d": pooled(kind, d) for kind in ("max", "avg") for d in (1, 2, 3)},
    "batch_norm": batch_normed,
    "group_norm": group_normed,
    "layer_norm": layer_normed("layer_norm"),
    "rms_norm": layer_normed("rms_norm"),
}


# ------------------------------------------------------------ the laws
def refused(call: Drawn) -> bool:
    try:
        with warnings.catch_warnings(action="ignore"):  # torch warns of losses that broadcast
            call.function(*call.args, **call.kwargs)
    except (RuntimeError, ValueError, IndexError):
        return True
    return False


def found(name: str, call: Drawn) -> ShapeProblem | None:
    return find_shape_problem(name.split()[0], as_dims(call.args), as_dims(call.kwargs))


def drawn(name: str) -> list[Drawn]:
    rng = Random(name)
    return [CALLS[name](rng) for _ in range(DRAWS)]


@pytest.mark.parametrize("name", CALLS)
def test_a_shape_problem_is_what_torch_refuses(name: str) -> None:
    calls = drawn(name)
    answers = [(found(name, call) is not None, refused(call)) for call in calls]
    pairs = zip(calls, answers, strict=True)
    assert [as_dims((call.args, call.kwargs)) for call, (problem, error) in pairs if problem != error] == []
    assert set(answers) == {(True, True), (False, False)}  # there are calls of both kinds


@pytest.mark.parametrize("name", [name for name in CALLS if name not in ("view", "reshape")])
def test_the_intended_shape_is_that_of_the_corrected_call(name: str) -> None:
    calls = [(call, problem) for call in drawn(name) if (problem := found(name, call))]
    assert calls
    for call, problem in calls:
        assert call.corrected is not None
        kwargs = {key: value for key, value in call.kwargs.items() if key != "dim"}
        assert problem.intended_shape == tuple(call.function(*call.corrected, **kwargs).shape), as_dims(
            (call.args, call.kwargs)
        )


@pytest.mark.parametrize("name", ["view", "reshape"])
def test_a_view_goes_on_with_the_sizes_that_were_written(name: str) -> None:
    for call in drawn(name):
        problem = found(name, call)
        if problem is None:
            continue
        said = call.args[1] if isinstance(call.args[1], tuple) else call.args[1:]
        assert len(problem.intended_shape) == len(said)
        assert all(n in (m, -1) for n, m in zip(said, problem.intended_shape, strict=True))
        assert min(problem.intended_shape) > 0
        assert problem.wrong_argument == WrongArgument("shape", said, tuple(call.args[0].shape))


def test_every_function_with_a_rule_is_drawn() -> None:
    alike = {"subtract", "rsub", "multiply", "divide", "true_divide", "floor_divide", "concatenate"}
    others = {"addmm", "baddbmm", "instance_norm"}
    assert {name.split()[0] for name in CALLS} | alike | others == set(SHAPE_CHECKS)
    assert set(SHAPE_CHECKS) >= CHECKED_FIRST


# ------------------------------------------------------------ single words
def test_a_function_without_a_rule_and_a_call_that_no_signature_allows_are_not_judged() -> None:
    assert find_shape_problem("softmax", (Dims((1, 2)), Dims((3, 4))), {}) is None
    assert find_shape_problem("cat", (), {}) is None
    assert find_shape_problem("view", (Dims((2, 3)), torch.int32), {}) is None
    assert find_shape_problem("linear", (Dims((2, 3)),), {}) is None
    assert find_shape_problem("add", (Dims((2, 3)), 1), {}) is None


@pytest.mark.parametrize("name", ["add", "mul", "div"])
def test_the_spelling_in_place_is_the_same(name: str) -> None:
    args = Dims((2, 3)), Dims((2, 4))
    assert find_shape_problem(f"{name}_", args, {}) == find_shape_problem(name, args, {}) is not None


@pytest.mark.parametrize(
    ("op", "args", "kwargs", "fact"),
    [
        ("add", (Dims((1, 2)), Dims((1, 3))), {}, "shapes do not match: (1, 2) + (1, 3)"),
        ("mul", (Dims((1, 2)), Dims((1, 3))), {}, "shapes do not match: (1, 2) * (1, 3)"),
        ("maximum", (Dims((1, 2)), Dims((1, 3))), {}, "shapes do not match: (1, 2) and (1, 3)"),
        (
            "cat",
            ((Dims((1, 2, 8)), Dims((1, 3, 7))),),
            {"dim": 1},
            "shapes do not match: (1, 2, 8) and (1, 3, 7) beside dimension 1",
        ),
        (
            "matmul",
            (Dims((1, 2)), Dims((3, 4))),
            {},
            "(1, 2) @ (3, 4): the left one's last size is 2, the right one's last but one is 3",
        ),
        (
            "matmul",
            (Dims((1, 2)), Dims((3,))),
            {},
            "(1, 2) @ (3,): the left one's last size is 2, the right one's only one is 3",
        ),
        (
            "view",
            (Dims((2, 1024)), -1, 1000),
            {},
            "view(-1, 1000) wants a multiple of 1,000 numbers, (2, 1024) has 2,048",
        ),
        ("view", (Dims((2, 1024)), (2, 1000)), {}, "view(2, 1000) wants 2,000 numbers, (2, 1024) has 2,048"),
        (
            "linear",
            (Dims((1, 512)), Dims((10, 500))),
            {},
            "linear says in_features=500 but its input is (1, 512), which has 512",
        ),
        (
            "conv2d",
            (Dims((1, 3, 8, 8)), Dims((4, 2, 3, 3))),
            {"groups": 2},
            "conv2d says in_channels=4 but its input is (1, 3, 8, 8), which has 3",
        ),
        ("conv2d", (Dims((1, 512)), Dims((4, 2, 3, 3))), {}, "conv2d wants 4 dimensions but its input is (1, 512)"),
        (
            "layer_norm",
            (Dims((1, 7, 16)), (7, 12)),
            {},
            "layer_norm says normalized_shape=(7, 12) but its input is (1, 7, 16), which has (7, 16)",
        ),
    ],
)
def test_the_fact_has_its_numbers(op: str, args: tuple[Any, ...], kwargs: dict[str, Any], fact: str) -> None:
    problem = find_shape_problem(op, args, kwargs)
    assert problem is not None
    assert problem.fact == fact


def test_a_sentence_names_the_layer() -> None:
    problem = find_shape_problem("linear", (Dims((1, 512)), Dims((10, 500))), {}, layer="Linear")
    assert problem is not None
    assert problem.fact.startswith("Linear says in_features=500")
    assert (problem.axes, problem.wrong_argument) == ((1,), WrongArgument("in_features", 500, 512))


class Broken(nn.Module):
    """Conflicts of all kinds, one after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(4, 8, 3, padding=1), nn.BatchNorm2d(6)
        self.fc, self.head = nn.Linear(100, 5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.conv(x))
        y = torch.cat([y, x[:, :, 1:]], 1) + x
        y = self.fc((y * y[..., :2]).flatten(1))
        return self.head(y).view(-1, 7) @ y


@pytest.mark.moves_rng
def test_the_recorder_goes_on_with_the_intended_shape() -> None:
    trace = recorded(Broken(), torch.zeros(2, 3, 8, 8)).trace
    assert trace.failure is None
    assert [(one.kind, trace.rows[one.row].outputs[0].shape) for one in trace.mismatches] == [
        ("layer", (2, 8, 8, 8)),
        ("layer", (2, 8, 8, 8)),
        ("concat", (2, 11, 8, 8)),
        ("add", (2, 11, 8, 8)),
        ("multiply", (2, 11, 8, 8)),
        ("layer", (2, 5)),
        ("view", (2, 7)),
        ("product", (2, 5)),
    ]


def test_reordered() -> None:
    assert is_reordered([(1, 2, 3), (1, 3, 2)])
    assert not is_reordered([(1, 2, 3), (1, 2, 3)])
    assert not is_reordered([(1, 2, 3), (1, 2, 4)])


def test_whole_numbers_of_numpy_are_whole_numbers() -> None:
    """A padding of numpy's type does not hide that the channels differ."""
    np = pytest.importorskip("numpy")
    shapes = Dims((1, 3, 8, 8)), Dims((4, 5, 3, 3)), None
    found = find_shape_problem("conv2d", shapes, {"padding": np.int64(1)}, layer="Conv2d")
    assert found is not None
    assert found.wrong_argument is not None
    assert (found.wrong_argument.argument, found.intended_shape) == ("in_channels", (1, 4, 8, 8))
