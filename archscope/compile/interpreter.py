"""Step-by-step run of a compiled net, in which a watcher always knows the current step of the spec.

BlockPlan + layers + inputs → node after node, with enter(site) and leave() around steps, layers and blocks
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import fx, nn

from archscope.compile.net_building import build_layers
from archscope.compile.plan import (
    RETURN_PATH,
    BlockPlan,
    Plan,
    argument_nodes,
    has_collected_turns,
    is_number_node,
    last_uses,
)
from archscope.trace import Location


class RunWatcher(Protocol):
    """The callbacks of a run: the start and end of each step, layer and block."""

    def enter(self, site: Location, inputs: Iterable[tuple[str, Any]] = ()) -> object: ...

    def leave(self) -> object: ...

    def record_parameter(self, parameter: torch.Tensor) -> object: ...


@dataclass
class GraphInterpreter:
    """Runs a compiled net. Values are dropped after their last use, as in an ordinary forward pass."""

    watcher: RunWatcher
    last_uses: dict[fx.Graph, dict[fx.Node, list[fx.Node]]] = field(default_factory=dict)

    def run(self, plan: BlockPlan, module: nn.Module, inputs: tuple, prefix: str = "") -> Any:
        """Return the block's output for its inputs."""
        return self._run_graph(plan.graph, plan, module, inputs, prefix)

    def _run_graph(self, graph: fx.Graph, plan: BlockPlan, module: nn.Module, inputs: tuple, prefix: str) -> Any:
        """Return the output of a graph of a block: its own, or that of a turn of a loop in it."""
        values: dict[fx.Node, Any] = {}
        waiting, step = iter(inputs), None
        for node in graph.nodes:
            now = step if is_number_node(node) else node.meta.get("step")
            if now is not step:
                self._change_step(step, now, prefix, graph, values)
                step = now
            if node.op == "output":
                return _replace_nodes(node.args[0], values)
            values[node] = (
                next(waiting) if node.op == "placeholder" else self._run_node(plan, module, node, values, prefix)
            )
            for dead in self._last_uses(graph).get(node, ()):
                del values[dead]
        raise AssertionError("a graph ends with its output")

    def _change_step(
        self, old: Location | None, new: Location | None, prefix: str, graph: fx.Graph, values: Mapping[fx.Node, Any]
    ) -> None:
        if old is not None:
            self.watcher.leave()
        if new is not None:
            given = [(node.name, values[node]) for node in returned_unchanged(graph)] if new.path == RETURN_PATH else []
            self.watcher.enter(
                _prefix_site(prefix, new), [(name, v) for name, v in given if isinstance(v, torch.Tensor)]
            )

    def _run_node(self, plan: BlockPlan, module: nn.Module, node: fx.Node, values: dict, prefix: str) -> Any:
        if node.op == "get_attr":
            parameter = module.get_parameter(str(node.target))
            if "alone" in node.meta:
                self.watcher.record_parameter(parameter)
            return parameter
        args, kwargs = _replace_nodes(node.args, values), _replace_nodes(node.kwargs, values)
        if "loop" in node.meta:
            return self._run_loop(node, plan, module, args, prefix)
        if callable(node.target):
            return node.target(*args, **kwargs)
        if node.op == "call_method":
            return getattr(args[0], str(node.target))(*args[1:], **kwargs)
        return self._run_module(node, module.get_submodule(str(node.target)), args, kwargs, prefix)

    def _run_loop(self, node: fx.Node, plan: BlockPlan, module: nn.Module, args: tuple, prefix: str) -> Any:
        """Return the last turn's value, and the list of all turns' values if it is read."""
        (value, items, count, captured), every = args, list[Any]()
        loop, collects = node.meta["loop"], has_collected_turns(node)
        path = f"{prefix}.{loop.path}" if prefix else loop.path
        for i, item in enumerate(items if loop.itemized else range(count)):
            given = (value, *((item,) if loop.itemized else ()), i, *captured)
            value = self._run_graph(loop.turn.graph, plan, module, given, f"{path}.{i}")
            every += [value] * collects
        return value, every

    def _run_module(self, node: fx.Node, child: nn.Module, args: tuple, kwargs: dict, prefix: str) -> Any:
        site = _prefix_site(prefix, node.meta["site"])
        planned = node.meta.get("plan")
        if planned is None:
            self.watcher.enter(site, ())
            result = child(*args, **kwargs)
        else:
            nodes = [inner for inner in planned.graph.nodes if inner.op == "placeholder"]
            inputs = [(str(n.target), v) for n, v in zip(nodes, args, strict=True) if not is_number_node(n)]
            self.watcher.enter(site, inputs)
            result = self.run(planned, child, args, site.path)
        self.watcher.leave()
        return result

    def _last_uses(self, graph: fx.Graph) -> dict[fx.Node, list[fx.Node]]:
        if graph not in self.last_uses:
            self.last_uses[graph] = last_uses(graph)
        return self.last_uses[graph]


@dataclass(frozen=True)
class PlacedPlan:
    """A compiled net with its layers on a device."""

    plan: Plan
    module: nn.Module

    def parameters(self) -> list[tuple[str, nn.Parameter]]:
        """Yield every parameter by name; tied ones under each of their names."""
        return list(self.module.named_parameters(remove_duplicate=False))

    def buffers(self) -> list[tuple[str, torch.Tensor]]:
        """Yield every buffer by name."""
        return list(self.module.named_buffers(remove_duplicate=False))

    def run(self, inputs: tuple, watcher: RunWatcher) -> Any:
        """Run one forward pass; the watcher is called for every block, layer and step."""
        watcher.enter(self.plan.top)
        output = GraphInterpreter(watcher).run(self.plan.block, self.module, inputs)
        watcher.leave()
        return output


def place_plan(plan: Plan, *, device: str, dtype: Any = None, train: bool = False, random: bool = False) -> PlacedPlan:
    """Return the net with its layers on `device`: with PyTorch's initialisation if `random`, else with constant
    finite weights."""
    return PlacedPlan(plan, build_layers(plan, device=device, dtype=dtype, random=random).train(train))


def returned_unchanged(graph: fx.Graph) -> list[fx.Node]:
    """Return the outputs that `return:` names and does not compute itself."""
    (output,) = (node for node in graph.nodes if node.op == "output")
    working = {node for node in graph.nodes if (site := node.meta.get("step")) is not None and site.path == RETURN_PATH}
    read = {value for node in working for value in node.all_input_nodes}
    return [node for node in argument_nodes(output.args[0]) if node not in working | read]


def _prefix_site(prefix: str, site: Location) -> Location:
    """Return the location with its path from the top of the net."""
    if not prefix:
        return site
    path = f"{prefix}.{site.path}" if site.path else prefix
    return Location(path, site.name, site.kind, site.text, site.place, site.strict, site.conflict)


def _replace_nodes(argument: Any, values: Mapping[fx.Node, Any]) -> Any:
    """Return a node's argument with the nodes in it replaced by their values."""
    if isinstance(argument, fx.Node):
        return values[argument]
    if isinstance(argument, (tuple, list)):
        form = list if isinstance(argument, list) else tuple  # fx keeps lists in a class of its own
        return form([_replace_nodes(a, values) for a in argument])
    if isinstance(argument, dict):
        return {k: _replace_nodes(v, values) for k, v in argument.items()}
    if isinstance(argument, slice):
        return slice(*(_replace_nodes(v, values) for v in (argument.start, argument.stop, argument.step)))
    return argument
