"""Traces drawn by hand: a Sketch's layers, steps and blocks → calls, rows, params and costs → Report.

net = Sketch("net.yaml", x=(1, 3, 8, 8))
y = net.layer("0", "Conv2d", "8, 3×3", [net["x"]], (1, 8, 6, 6), params=(8, 3, 3, 3), macs=7776)
report = net.report([y])
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import prod
from typing import Any

from archscope.cost import Cost
from archscope.errors import Span
from archscope.report import Report, build_report
from archscope.trace import Call, Location, Operand, Param, Row, Shape, Trace, Value


class Sketch:
    def __init__(self, target: str, *, title: str = "", mode: str = "eval", **inputs: Shape):
        self.target, self.title, self.mode = target, title, mode
        self.calls: list[Call] = []
        self.rows: list[Row] = []
        self.params: list[Param] = []
        self.costs: list[Cost] = []
        self.backward: list[Row] = []
        self.backward_costs: list[Cost] = []
        self.stack = [-1]
        self.values = 0
        self.inputs = {name: Operand(name, self.value(shape)) for name, shape in inputs.items()}

    def __getitem__(self, name: str) -> Operand:
        return self.inputs[name]

    def value(self, shape: Shape) -> Value:
        self.values += 1
        return Value(self.values, shape, "float32", 4 * prod(shape))

    def param(self, name: str, shape: Shape, **more: Any) -> str:
        self.params.append(Param(name, shape, "float32", prod(shape), 4 * prod(shape), **more))
        return name

    @contextmanager
    def call(self, path: str, name: str, text: str = "", kind: str = "block", **inputs: Operand) -> Iterator[int]:
        """Inside, a site runs. inputs: what a block is given, by its own names."""
        place = Span(self.target, 10 + len(self.calls), 5)
        given = tuple(Operand(own, operand.value) for own, operand in inputs.items())
        self.calls.append(Call(len(self.calls), self.stack[-1], Location(path, name, kind, text, place), given))
        self.stack.append(len(self.calls) - 1)
        yield self.stack[-1]
        self.stack.pop()

    def row(
        self,
        path: str,
        op: str,
        reads: Sequence[Operand],
        *shapes: Shape,
        params: Sequence[str] = (),
        macs: int = 0,
        unpriced: str = "",
    ) -> Operand:
        outputs = tuple(self.value(shape) for shape in shapes)
        weights = tuple(Operand(p.name, Value(-1, p.shape, p.dtype, p.bytes)) for p in self.params if p.name in params)
        inputs = (*reads, *weights)
        index, call = len(self.rows), self.stack[-1]
        place = self.calls[call].site.place if call >= 0 else None
        function = f"torch.nn.functional.{op.lower()}"
        self.rows.append(Row(index, path, op, function, call, inputs, outputs, tuple(params), (), False, place))
        read, written = sum(op.value.bytes for op in inputs), sum(value.bytes for value in outputs)
        self.costs.append(Cost(macs, read, written, (unpriced,) if unpriced else ()))
        return Operand(path, outputs[0])

    def layer(
        self,
        path: str,
        name: str,
        text: str,
        reads: Sequence[Operand],
        *shapes: Shape,
        params: Shape | None = None,
        kind: str = "layer",
        macs: int = 0,
        unpriced: str = "",
    ) -> Operand:
        names = [self.param(f"{path}.weight", params)] if params else []
        with self.call(path, name, text, kind):
            return self.row(path, name, reads, *shapes, params=names, macs=macs, unpriced=unpriced)

    def derive(self, of: int, *, macs: int = 0, unpriced: str = "", node: str = "") -> None:
        """A row of the backward pass: of a forward row, or of -1 and a node."""
        op = node or self.rows[of].op
        index, path, function = len(self.backward), "" if node else self.rows[of].path, f"{op} backward"
        given = Operand("constant", self.value((4,)))
        self.backward.append(Row(index, path, op, function, -1, (given,), (self.value((8,)),), forward_row=of))
        self.backward_costs.append(Cost(macs, 16, 32, (unpriced,) if unpriced else ()))

    def step(self, path: str, name: str, text: str, reads: Sequence[Operand], *shapes: Shape) -> Operand:
        return self.layer(path, name, text, reads, *shapes, kind="step")

    def trace(self, results: Sequence[Operand], **more: Any) -> Trace:
        return Trace(
            target=self.target,
            device="cpu",
            dtype="float32",
            mode=self.mode,
            inputs=tuple(self.inputs.values()),
            outputs=tuple(results),
            calls=tuple(self.calls),
            rows=tuple(self.rows),
            params=tuple(self.params),
            backward=tuple(self.backward),
            loss="the sum of the output" if self.backward else "",
            **more,
        )

    def report(self, results: Sequence[Operand], *, findings: Sequence = (), **more: Any) -> Report:
        trace = self.trace(results, **more)
        costs = {id(trace.backward): self.backward_costs, id(trace.rows): self.costs}
        return build_report(trace, pricing=lambda rows: costs[id(rows)], findings=findings, title=self.title)


def conv(net: Sketch, path: str, x: Operand, out: int, k: int, pad: int = 0, stride: int = 1) -> Operand:
    n, c, h, w = x.value.shape
    h, w = ((side + 2 * pad - k) // stride + 1 for side in (h, w))
    text = f"{out}, {k}×{k}" + f", stride {stride}" * (stride > 1) + f", pad {pad}" * (pad > 0)
    macs = n * out * h * w * c * k * k
    return net.layer(path, "Conv2d", text, [x], (n, out, h, w), params=(out, c * k * k + 1), macs=macs)


def same(net: Sketch, path: str, name: str, x: Operand, text: str = "") -> Operand:
    return net.layer(path, name, text, [x], x.value.shape)


def residual_mnist(batch: int = 1) -> Report:
    """The tutorial's net, row by row: 41,514 parameters, 2,013,184 MACs."""
    net = Sketch("specs/tutorials/residual_mnist.yaml:plain", title="ResidualMnist:plain", x=(batch, 1, 28, 28))
    x = net["x"]
    for at, channels in ((0, 16), (4, 32)):
        x = conv(net, f"{at}", x, channels, 5)
        x = same(net, f"{at + 1}", "ReLU", x)
        n, c, h, w = x.value.shape
        x = net.layer(f"{at + 2}", "MaxPool2d", "2", [x], (n, c, h // 2, w // 2))
        x = residual(net, f"{at + 3}", x, channels)
    x = net.layer("8", "Flatten", "", [x], (batch, 512))
    x = net.layer("9", "Linear", "10", [x], (batch, 10), params=(10, 513), macs=batch * 5120)
    return net.report([x])


def residual(net: Sketch, path: str, x: Operand, channels: int, name: str = "Residual") -> Operand:
    with net.call(path, name, x=x):
        y = conv(net, f"{path}.main.0", x, channels, 3, pad=1)
        y = same(net, f"{path}.main.1", "ReLU", y)
        y = conv(net, f"{path}.main.2", y, channels, 3, pad=1)
        y = net.step(f"{path}.add", "add", "main + prev", [y, x], y.value.shape)
        return same(net, f"{path}.1", "ReLU", y)


def stages(repeats: Sequence[int] = (2, 3), batch: int = 1) -> Report:
    """A labelled stem, then stages of equal blocks: what folds and what does not."""
    net = Sketch("specs/stages.yaml", title="Stages", x=(batch, 3, 64, 64))
    x = conv(net, "stem.0", net["x"], 64, 7, pad=3, stride=2)
    x = same(net, "stem.1", "ReLU", x)
    for stage, turns in enumerate(repeats, start=1):
        x = conv(net, f"down{stage}", x, 64 * stage, 2, stride=2)
        for turn in range(turns):
            x = residual(net, f"layer{stage}.{turn}", x, 64 * stage, "BasicBlock")
    x = net.layer("flatten", "Flatten", "", [x], (batch, prod(x.value.shape[1:])))
    return net.report([net.layer("fc", "Linear", "10", [x], (batch, 10), params=(10, 32769), macs=batch * 327_680)])


def awkward() -> Report:
    """Unpriced kernels, a buffer, several outputs, tied and unread parameters, two inputs, a step of two rows."""
    net = Sketch("net.py:Net", tokens=(2, 7), memory=(2, 9, 16))
    table = Operand("constant", net.value((100,)))
    x = net.layer("embed", "Embedding", "100, 16", [net["tokens"], table], (2, 7, 16), params=(100, 16))
    with net.call("rnn", "LSTM", "32", "layer"):
        names = [net.param("rnn.weight", (128, 48))]
        x = net.row(
            "rnn", "LSTM", [x], (2, 7, 32), (1, 2, 32), (1, 2, 32), params=names, unpriced="aten.mkldnn_rnn_layer"
        )
    with net.call("cross", "Cross", query=x, memory=net["memory"]):
        x = net.layer("cross.pool", "Linear", "16", [x], (2, 7, 16), params=(16, 33), macs=7168)
        x = net.layer("cross.att", "Attention", "", [x, net["memory"]], (2, 7, 16), macs=4032)
        x = net.row("cross.add", "add", [x, net["memory"]], (2, 7, 16))
    with net.call("4", "expression", "prev.view(2, 112).relu()", "step"):
        x = net.row("4", "view", [x], (2, 112))
        x = net.row("4", "relu", [x], (2, 112))
    net.param("head.weight", (100, 16), tied_to="embed.weight")
    net.param("lost", (5,), trainable=False)
    with net.call("head", "Linear", "100", "layer"):
        x = net.row("head", "Linear", [x], (2, 100), params=["head.weight"], macs=2 * 11_200)
    return net.report([x], notes=("dropout is off in eval mode",))


def trained() -> Report:
    """Both passes: a first layer without an input's gradient, an unpriced kernel, a row that no layer owns."""
    net = Sketch("net.py:Net", mode="train", x=(1, 3, 64, 64))
    x = conv(net, "stem", net["x"], 16, 3, pad=1)
    for turn in range(2):
        x = residual(net, f"layer.{turn}", x, 16)
    x = net.layer("fft", "Spectrum", "", [x], x.value.shape, unpriced="aten._fft_r2c")
    x = net.layer("head", "Linear", "10", [x], (1, 10), params=(10, 17), macs=160)
    for index in reversed(range(len(net.rows))):
        known = net.costs[index].known
        net.derive(
            index, macs=known * 2 if index else known, unpriced="aten._fft_c2r" * bool(net.costs[index].unpriced)
        )
    net.derive(-1, macs=1280, node="ScaleBackward")
    return net.report([x])
