"""The compiler of specs: Spec → Plan (graphs and layer recipes, by shapes alone) → nn.Module.

compile_net(library, variant) → Plan
  net_compilation   inputs, overrides, ties; the whole net
  compilation       the state of one compilation: scopes of the files, problems, caches
  blocks            one use of a block: dimensions, arguments, return; built once per distinct use
  step_compiler     its steps: when, labels, how they apply; loops, loop_conditions, branching (residual, concat, …)
  runtime_loops     a loop over a run-time length as one node; graph_equality compares its turns
  block_use         its graph: a node for each function, layer and parameter; graph_builder makes nodes of values
  graph_tensor      tensors in expressions; layer_classes: layers, blocks and declared modules in expressions
  runtime_numbers   numbers and lists that are computed when the net runs; number_functions: functions of them
  meta_tensors      nested meta tensors, and ranks that depend on sizes; dimensions: sizes that the inputs share
  layer_cache       one use of a torch.nn layer: inference, checks, output shape
  step_text         a step with values in place of names
  shapes            output shapes by rule, without running anything; functions without a rule run on meta
  torch_functions   the functions and methods of the language
  expect_entries    `expect:` as checks

build(plan) → Net, an nn.Module with a submodule for each use of a block: assemble, fast_init
  forward_writer    a graph as Python code; built_net: the classes made from it and their run-time checks
  size_help         help if a built net is run at another size

outline_plan(plan) → PlannedBlock, plain data for comparisons: plan_outline
build_distinct_net(plan) → each distinct block once, for the cost of a net: distinct_net
place_plan(plan) → layers on a device, run step by step: interpreter
"""

from archscope.compile.assemble import build
from archscope.compile.distinct_net import DistinctNet, block_at, build_distinct_net, count_block_uses, has_uneven_loops
from archscope.compile.interpreter import PlacedPlan, place_plan
from archscope.compile.net_compilation import InputOverride, compile_net, params_from_inputs
from archscope.compile.plan import InputSpec, Plan
from archscope.compile.plan_outline import outline_plan

__all__ = [
    "DistinctNet",
    "InputOverride",
    "InputSpec",
    "PlacedPlan",
    "Plan",
    "block_at",
    "build",
    "build_distinct_net",
    "compile_net",
    "count_block_uses",
    "has_uneven_loops",
    "outline_plan",
    "params_from_inputs",
    "place_plan",
]
