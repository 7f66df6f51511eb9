"""The graph of a net, as tables, pages and pictures show it: a tree of blocks with sources, figures and repeats.

Report ─ tree: calls and rows as nodes ─ sources: what each node reads ─ repeats: equal siblings folded ─→ OutlineLines

outline   the way from a report to its lines: full, or with repeats folded, to a depth
lines     OutlineLine, and functions that walk, rebuild and prune trees of lines
"""

from archscope.graph.lines import OutlineLine, detach_lines, leaf_lines, prune_lines, walk_lines
from archscope.graph.outline import breakdown, full_outline, outline

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
