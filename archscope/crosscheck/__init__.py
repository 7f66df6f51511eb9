"""Witnesses beside us: Report + Statements → CrossCheck: whose figures differ, by how much, and because of which rows.

Statement ─ counts and rows at each module (places) ─ known causes, each with its arithmetic (causes) ─→ Differences
"""

from archscope.crosscheck.model import Account, CrossCheck, Difference
from archscope.crosscheck.weighing import cross_check

__all__ = ["Account", "CrossCheck", "Difference", "cross_check"]
