"""A planned net run step by step, so that whoever watches knows at every moment which line of the spec is at work.

BlockPlan + laid-out layers + inputs → node after node, with enter(site) and leave() around steps, layers and blocks
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import fx, nn

from archscope.compile.assemble import lay_out
from archscope.compile.plan import RETURN, BlockPlan, Plan, is_number, keeps_all, last_uses, read_by
from archscope.trace import Site


class Watcher(Protocol):
    """Told where the run is."""

    def enter(self, site: Site, inputs: Iterable[tuple[str, Any]] = ()) -> object: ...

    def leave(self) -> object: ...

    def hold(self, parameter: torch.Tensor) -> object: ...


@dataclass
class Drive:
    """Runs one planned net. Values are dropped after their last use, as in an ordinary forward pass."""

    watcher: Watcher
    last_uses: dict[fx.Graph, dict[fx.Node, list[fx.Node]]] = field(default_factory=dict)

    def run(self, plan: BlockPlan, module: nn.Module, inputs: tuple, prefix: str = "") -> Any:
        """The block's output for its inputs."""
        return self._steps(plan.graph, plan, module, inputs, prefix)

    def _steps(self, graph: fx.Graph, plan: BlockPlan, module: nn.Module, inputs: tuple, prefix: str) -> Any:
        """What a graph of a block gives: its own, or a turn's of a loop in it."""
        values: dict[fx.Node, Any] = {}
        waiting, step = iter(inputs), None
        for node in graph.nodes:
            now = step if is_number(node) else node.meta.get("step")
            if now is not step:
                self._change(step, now, prefix, graph, values)
                step = now
            if node.op == "output":
                return _with_values(node.args[0], values)
            values[node] = next(waiting) if node.op == "placeholder" else self._node(plan, module, node, values, prefix)
            for dead in self._last_uses(graph).get(node, ()):
                del values[dead]
        raise AssertionError("a graph ends with its output")

    def _change(
        self, old: Site | None, new: Site | None, prefix: str, graph: fx.Graph, values: Mapping[fx.Node, Any]
    ) -> None:
        if old is not None:
            self.watcher.leave()
        if new is not None:
            given = [(node.name, values[node]) for node in passed_on(graph)] if new.path == RETURN else []
            self.watcher.enter(_under(prefix, new), [(name, v) for name, v in given if isinstance(v, torch.Tensor)])

    def _node(self, plan: BlockPlan, module: nn.Module, node: fx.Node, values: dict, prefix: str) -> Any:
        if node.op == "get_attr":
            parameter = module.get_parameter(str(node.target))
            if "alone" in node.meta:
                self.watcher.hold(parameter)
            return parameter
        args, kwargs = _with_values(node.args, values), _with_values(node.kwargs, values)
        if "loop" in node.meta:
            return self._loop(node, plan, module, args, prefix)
        if node.op == "call_function":
            return node.target(*args, **kwargs)  # type: ignore[operator]
        if node.op == "call_method":
            return getattr(args[0], str(node.target))(*args[1:], **kwargs)
        return self._call(node, _child(module, str(node.target)), args, kwargs, prefix)

    def _loop(self, node: fx.Node, plan: BlockPlan, module: nn.Module, args: tuple, prefix: str) -> Any:
        """The last turn's value, and the list of every turn's, where it is read."""
        (value, items, count, captured), every = args, list[Any]()
        loop, kept = node.meta["loop"], keeps_all(node)
        path = f"{prefix}.{loop.path}" if prefix else loop.path
        for i, item in enumerate(items if loop.itemized else range(count)):
            given = (value, *((item,) if loop.itemized else ()), i, *captured)
            value = self._steps(loop.turn.graph, plan, module, given, f"{path}.{i}")
            every += [value] * kept
        return value, every

    def _call(self, node: fx.Node, child: nn.Module, args: tuple, kwargs: dict, prefix: str) -> Any:
        site = _under(prefix, node.meta["site"])
        planned = node.meta.get("plan")
        self.watcher.enter(site, named_inputs(planned, args))
        result = child(*args, **kwargs) if planned is None else self.run(planned, child, args, site.path)
        self.watcher.leave()
        return result

    def _last_uses(self, graph: fx.Graph) -> dict[fx.Node, list[fx.Node]]:
        if graph not in self.last_uses:
            self.last_uses[graph] = last_uses(graph)
        return self.last_uses[graph]


@dataclass(frozen=True)
class Ready:
    """A planned net with its layers on a device."""

    plan: Plan
    module: nn.Module

    def parameters(self) -> list[tuple[str, nn.Parameter]]:
        """Every name of every parameter; tied ones appear under each of their names."""
        return list(self.module.named_parameters(remove_duplicate=False))

    def buffers(self) -> list[tuple[str, torch.Tensor]]:
        """Every buffer by name."""
        return list(self.module.named_buffers(remove_duplicate=False))

    def run(self, inputs: tuple, watcher: Watcher) -> Any:
        """One forward pass; the watcher is told of every block, layer and step."""
        watcher.enter(self.plan.top)
        output = Drive(watcher).run(self.plan.block, self.module, inputs)
        watcher.leave()
        return output


def ready(plan: Plan, *, device: str, dtype: Any = None, train: bool = False, random: bool = False) -> Ready:
    """The net's layers on `device`: with PyTorch's initialisation if `random`, else with cheap finite weights."""
    return Ready(plan, lay_out(plan, device=device, dtype=dtype, random=random).train(train))


def named_inputs(plan: BlockPlan | None, args: tuple) -> Iterable[tuple[str, Any]]:
    """The inputs of a block's call by the block's own names; none of a layer's."""
    if plan is None:
        return ()
    inputs = [node for node in plan.graph.nodes if node.op == "placeholder"]
    return [(str(n.target), value) for n, value in zip(inputs, args, strict=True) if not is_number(n)]


def passed_on(graph: fx.Graph) -> list[fx.Node]:
    """What a graph gives as it is: the values that `return:` names, and that what it works out does not read."""
    (output,) = (node for node in graph.nodes if node.op == "output")
    working = {node for node in graph.nodes if (site := node.meta.get("step")) is not None and site.path == RETURN}
    read = {value for node in working for value in node.all_input_nodes}
    return [node for node in read_by(output.args[0]) if node not in working | read]


def _under(prefix: str, site: Site) -> Site:
    """The site as seen from the top."""
    if not prefix:
        return site
    path = f"{prefix}.{site.path}" if site.path else prefix
    return Site(path, site.name, site.kind, site.text, site.place, site.strict, site.conflict)


def _child(module: nn.Module, name: str) -> nn.Module:
    for part in name.split("."):
        module = module._modules[part]  # type: ignore[assignment]
    return module


def _with_values(argument: Any, values: Mapping[fx.Node, Any]) -> Any:
    """A node's argument with the nodes in it replaced by their values."""
    if isinstance(argument, fx.Node):
        return values[argument]
    if isinstance(argument, (tuple, list)):
        form = list if isinstance(argument, list) else tuple  # fx keeps lists in a class of its own
        return form([_with_values(a, values) for a in argument])
    if isinstance(argument, dict):
        return {k: _with_values(v, values) for k, v in argument.items()}
    if isinstance(argument, slice):
        return slice(*(_with_values(v, values) for v in (argument.start, argument.stop, argument.step)))
    return argument
