"""Edits of the source of a Python target that may resolve a conflict, the most likely first.

    Diagnosis ─ layers before the conflict, the calls that made them → arguments, and the source of their numbers
              ─ the functions around the conflict                    → dimensions, orders, a missing flatten

The edits are tried in `source_fixes`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from types import FunctionType
from typing import Any

from archscope import targets
from archscope.conflicts.declared_arguments import channels_first_step, has_channels_last
from archscope.conflicts.diagnosis import Diagnosis
from archscope.conflicts.flattened_maps import flattened_map, wanted_map
from archscope.conflicts.layer_changes import layer_changes
from archscope.record import walk_modules
from archscope.targets import SourceCall, TargetRebuilder, forward_edits, layer_edits
from archscope.targets.source_edits import SourceEdit
from archscope.targets.source_files import SourceFile
from archscope.trace_index import TraceIndex

SourceFunction = tuple[SourceFile, ast.FunctionDef]


@dataclass
class SourceProposals:
    """The edits of one target's source. index: of the failed run."""

    rebuilder: TargetRebuilder
    index: TraceIndex

    @cached_property
    def rebuilt_target(self) -> tuple[Any, Mapping[str, Sequence[SourceCall]]]:
        """The target made once more, and for each path the calls that made the module there."""
        return self.rebuilder.record_calls()

    @cached_property
    def layers(self) -> Mapping[str, Any]:
        return dict(walk_modules(self.rebuilt_target[0]).modules)

    def calls_of(self, path: str) -> Sequence[SourceCall]:
        return self.rebuilt_target[1].get(path, ())

    def edits(self, diagnosis: Diagnosis) -> Iterator[SourceEdit]:
        """Yield the edits that may resolve a conflict, the most likely first."""
        paths, functions = list(self.layer_paths(diagnosis)), self.functions_around(diagnosis)
        for path in paths:
            yield from layer_edits.own_argument_edits(self.calls_of(path), self.argument_names(path))
        for file, function in functions:
            yield from with_cause("source", forward_edits.unread_value_edits(file, function))
            yield from with_cause("layout", forward_edits.missing_permute_edits(file, function))
        if diagnosis.intended_dim is not None:
            for file, function in functions:
                yield from with_cause("layout", forward_edits.concat_dim_edits(file, function, diagnosis.intended_dim))
        yield from with_cause("layout", self.layout_edits(diagnosis, functions))
        windows = paths if diagnosis.cause != "channels" else []  # a window does not change channels
        for path in windows:
            yield from layer_edits.padding_edits(self.calls_of(path), self.argument_names(path))
        sizes = list(self.map_size_edits(diagnosis))
        yield from sizes
        for change in layer_changes(diagnosis, self.layer_arguments):
            if not (sizes and set(change.arguments) == {"in_features"}):
                yield from self.argument_edits(change.path, change.arguments)
        for path in reversed(windows):  # the stride is usually in the first layer
            yield from layer_edits.window_edits(self.calls_of(path), self.argument_names(path))
        for path in paths:
            yield from layer_edits.factor_edits(self.calls_of(path))
        ranks = self.function_ranks()
        for file, function in functions:
            yield from with_cause("layout", forward_edits.reorder_edits(file, function, ranks, diagnosis.mismatch.kind))
            yield from forward_edits.size_expression_edits(file, function)
        place = diagnosis.mismatch.site.place
        if place is not None:
            for file, function in functions[:1]:
                edits = forward_edits.value_swap_edits(file, function, place.line, place.column)
                yield from (replace(edit, guess=True) for edit in with_cause("source", edits))

    def map_size_edits(self, diagnosis: Diagnosis) -> Iterator[SourceEdit]:
        """Yield edits that put the sizes of the actual map into the product that is a Linear's in_features."""
        given, wanted, path = flattened_map(diagnosis), wanted_map(diagnosis), diagnosis.mismatch.site.path
        if given is not None and wanted:
            calls, names = self.calls_of(path), self.argument_names(path)
            edits = layer_edits.flattened_size_edits(calls, names, "in_features", wanted[1:], given[1:])
            yield from (replace(edit, argument="in_features") for edit in edits)

    def argument_edits(self, path: str, changed: Mapping[str, object]) -> Iterator[SourceEdit]:
        """Yield another value of one argument of the layer at a path, or of several arguments that one name sets."""
        calls, names, present = self.calls_of(path), self.argument_names(path), self.layer_arguments(path)
        first = next(iter(changed)) if len(changed) == 1 else layer_edits.shared_argument(calls, names, changed)
        if first:
            edits = layer_edits.argument_edits(calls, names, first, changed[first], present.get(first))
            yield from (replace(edit, argument=first) for edit in edits)

    def layout_edits(self, diagnosis: Diagnosis, functions: Sequence[SourceFunction]) -> Iterator[SourceEdit]:
        """Yield a flatten before a layer that declares as many features as its whole input has, a flatten of images
        that are used as sequences, and a permutation if another axis has the declared size.
        """
        wrong, place, shape = diagnosis.mismatch.wrong_argument, diagnosis.mismatch.site.place, diagnosis.shapes[0]
        if {3, 4} == set(map(len, diagnosis.shapes)):
            for file, function in functions:
                yield from forward_edits.flatten_image_edits(file, function)
        if wrong is None or not isinstance(wrong.given, int):
            return
        suffixes = [".flatten(1)"] if wrong.argument == "in_features" and wrong.given == prod(shape[1:]) else []
        if has_channels_last(diagnosis):
            suffixes += [f".{channels_first_step(diagnosis)}"]
        for suffix in suffixes:
            if place is not None:
                for file, function in functions:
                    yield from forward_edits.permute_operand_edits(file, function, place.line, place.column, suffix)
            if "flatten" in suffix:
                yield from layer_edits.flatten_edits(self.calls_of(diagnosis.mismatch.site.path))

    def layer_paths(self, diagnosis: Diagnosis) -> Iterator[str]:
        """Yield the paths of the layers at the conflict and before it, the nearest first."""
        walked = [change.row for side in diagnosis.sides for change in side]
        sites = [self.index.layer(row) for row in sorted(walked, key=lambda row: -row.index)]
        yield from dict.fromkeys([diagnosis.mismatch.site.path, *(site.path for site in sites if site is not None)])

    def argument_names(self, path: str) -> list[str]:
        """Return the arguments that the layer at a path takes by position or by name."""
        layer = self.layers.get(path)
        return targets.argument_names(layer) if layer is not None and targets.is_torch_layer(layer) else []

    def layer_arguments(self, path: str) -> Mapping[str, object]:
        layer = self.layers.get(path)
        return targets.present_arguments(layer) if layer is not None and targets.is_torch_layer(layer) else {}

    def function_ranks(self) -> Mapping[str, int]:
        """Return the rank of each function's first operand, for functions where it is the same in the whole run."""
        found: dict[str, set[int]] = {}
        for row in self.index.trace.rows:
            if row.inputs:
                found.setdefault(row.short_name, set()).add(len(row.inputs[0].value.shape))
        return {name: ranks.pop() for name, ranks in found.items() if len(ranks) == 1}

    def functions_around(self, diagnosis: Diagnosis) -> list[SourceFunction]:
        """Return the function that contains the conflict, then the methods of the modules around it and before it."""
        place = diagnosis.mismatch.site.place
        rows = [change.row for side in diagnosis.sides for change in side]
        around = [call.site.path for row in rows for call in self.index.calls_around(row.call)]
        paths = [path for path in (*parent_paths(diagnosis.mismatch.site.path), *around) if path in self.layers]
        kinds = dict.fromkeys(type(self.layers[path]) for path in paths)
        methods = (value for kind in kinds for value in (kind.forward, *vars(kind).values()))
        known = (self.rebuilder.sources.definition(method) for method in methods if isinstance(method, FunctionType))
        found = [method for method in known if method is not None and method.node.name != "__init__"]
        files = {definition.file.display_name: definition.file for definition in found}
        file = files.get(place.file) if place is not None else None
        own = file.function_at(place.line) if file is not None and place is not None else None
        first = [(file, own)] if file is not None and own is not None else []
        return list({id(node): (file, node) for file, node in [*first, *((d.file, d.node) for d in found)]}.values())


def with_cause(cause: str, edits: Iterator[SourceEdit]) -> Iterator[SourceEdit]:
    """Return the edits, each with the cause that it shows if it resolves the conflict."""
    return (replace(edit, cause=cause) for edit in edits)


def parent_paths(path: str) -> list[str]:
    """Return a path and its parents, the innermost first, the model itself last."""
    names = path.split(".")
    return [".".join(names[:count]) for count in range(len(names), -1, -1)]
