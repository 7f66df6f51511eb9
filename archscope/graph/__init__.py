"""The graph of a net, as tables, pages and pictures show it: a tree of blocks with sources, figures and repeats.

nodes           Calls and Rows of a trace → OutlineNodes, with what each reads and returns
outline         OutlineNodes → the lines that readers see: repeats folded, to a depth
outline_lines   OutlineLine, and functions that walk, rebuild and prune trees of lines
"""

from archscope.graph.outline import breakdown, full_outline, outline
from archscope.graph.outline_lines import OutlineLine, detach_lines, leaf_lines, prune_lines, walk_lines

__all__ = [
    "OutlineLine",
    "breakdown",
    "detach_lines",
    "full_outline",
    "leaf_lines",
    "outline",
    "prune_lines",
    "walk_lines",
]
