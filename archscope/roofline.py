"""How fast a device can be at most, and what that means for an operation: plain data. No torch."""

from __future__ import annotations
