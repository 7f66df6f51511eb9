"""Witnesses beside us: Report + Statements → CrossCheck: whose figures differ, by how much, and because of which rows.

CounterResult ─ counts and rows at each module (places) ─ known causes, each with its arithmetic (causes) ─→ Differences
"""

from archscope.crosscheck.differences import Account, CrossCheck, Difference
from archscope.crosscheck.explain import cross_check

__all__ = ["Account", "CrossCheck", "Difference", "cross_check"]
