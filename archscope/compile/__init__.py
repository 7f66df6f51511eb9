"""From what was written to what runs: Spec → Plan (graphs and recipes, on shapes alone) → nn.Module.

compile_net(library, variant) → Plan
  net           inputs, overrides, ties; the whole net
  session      one compilation: what names mean in each file; scope is the chain of names
  blocks        one use of a block: dimensions, arguments, return; built once per distinct use
  steps         its steps: when, labels, the application rule; loops, forms (residual, concat, …), conditions
  turns         a loop that follows a length of the run, as one node; likeness says whether its turns are alike
  use           its graph: a node for every function, layer and parameter; graphs, values as nodes
  values        what expressions are made of: Tensor, Function; kinds: layers, blocks, declared modules
  numbers       numbers and lists that are worked out when the net runs; number_functions, what is made of them
  metas         meta tensors in nested values, and ranks that sizes decide; dimensions, what a net's inputs agree on
  layers        one use of a torch.nn layer: inference, checks, output shape; signatures binds arguments as PyTorch does
  argument_text arguments in short, as tables show them; step_text, a written step with values for its names
  shapes        output shapes by rule, without running anything; what has no rule runs on meta
  functions     the functions and methods of the language
  expectations  `expect:` as something that can be checked
build(plan) → Net, an nn.Module, with a submodule for each use of a block  assemble, initialise
  source        a graph as Python; built, the classes that are made of it and what they require when they run
  size_help     what helps where a built net refuses a size
outline(plan) → PlannedBlock, plain data for comparisons
distinct(plan) → each distinct block once, for what a whole net costs
ready(plan) → layers laid out, and a run that says where it is             assemble, drive
"""

from archscope.compile.argument_text import describe_layer
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
    "describe_layer",
    "has_uneven_loops",
    "outline_plan",
    "params_from_inputs",
    "place_plan",
]
