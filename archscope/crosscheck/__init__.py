"""A report beside the results of reference counters: which figures differ, by how much, and because of which rows.

Report + CounterResults ─ rows and counts by module (per_module) ─ known causes (causes) ─→ CrossCheck of Differences

A cause is only given if its arithmetic yields the counter's figure.
"""

from archscope.crosscheck.differences import Account, CrossCheck, Difference
from archscope.crosscheck.explain import cross_check

__all__ = ["Account", "CrossCheck", "Difference", "cross_check"]
