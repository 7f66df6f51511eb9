"""What memory lives when: a trace → the memory that it needs at its highest, and what it is made of. No torch."""

from __future__ import annotations
