"""The compiler of specs: Spec → Plan (graphs and layer recipes, by shapes alone) → nn.Module.

compile_net(library, variant) → Plan
  net_compilation   overrides, ties; the whole net
  inputs            the inputs of a net: their shapes, the params that they determine, the sizes that they share
  compile_session   the state of one compilation: scopes of the files, problems, caches
  blocks            one use of a block: dimensions, arguments, return; built once per distinct use
  step_compiler     its steps: when, labels, how they apply; branching (residual, concat, …), loops
  runtime_loops     a loop over a run-time length as one node
  block_use         its graph: a node for each function, layer and parameter; graph_builder makes nodes of values
  graph_tensor      tensors in expressions, with their meta tensors; layer_classes: layers, blocks and declared modules
  runtime_numbers   numbers and lists that are computed when the net runs
  functions         the functions and methods of the language
  scope             names and their values; step_text: a step with values in place of names
  layer_cache       one use of a torch.nn layer: inference, output shape; argument_checks, call_limits: its checks
  shapes            output shapes by rule, without running anything; functions without a rule run on meta
  expect_entries    `expect:` as checks

build(plan) → Net, an nn.Module with a submodule for each use of a block: net_building
  forward_writer    a graph as Python code
  built_net         the classes made from it, their run-time checks, and the help if a net is run at another size

outline_plan(plan) → PlannedBlock, plain data for comparisons: plan_comparison
build_distinct_net(plan) → each distinct block once, for the cost of a net: distinct_net
place_plan(plan) → layers on a device, run step by step: interpreter
"""

from archscope.compile.distinct_net import DistinctNet, block_at, build_distinct_net, count_block_uses, has_uneven_loops
from archscope.compile.inputs import InputOverride, params_from_inputs
from archscope.compile.interpreter import PlacedPlan, place_plan
from archscope.compile.net_building import build
from archscope.compile.net_compilation import compile_net
from archscope.compile.plan import InputSpec, Plan
from archscope.compile.plan_comparison import outline_plan

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
