"""`repair`: specs with fixes applied: the first fix of each conflict that changes nothing outside its block, or a
chosen one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from archscope.api.checks import check
from archscope.api.keyword_checks import validate_keywords
from archscope.api.summaries import summarize
from archscope.fixes.repairs import Repair, repair_targets
from archscope.report import Checked

__all__ = ["Repair", "repair"]


@validate_keywords(check, summarize)
def repair(
    *wanted: Any, choice: int | None = None, texts: Mapping[str, str] | None = None, **options: Any
) -> list[Repair]:
    """Return the fixes of each spec, as far as checked fixes resolve its conflicts; other targets are only checked.

    `options` are those of `check`. A fix is applied only if it changes nothing outside the block of its conflict.
    choice: instead, apply this fix (from 1) of the first conflict, whatever it changes, and no other. Targets that
    share files get the texts that the fixes of earlier targets left. Raises UsageError if there is no such fix.
    """

    def check_texts(target: Any, texts: Mapping[str, str]) -> list[Checked]:
        return check(target, **options, texts=texts)

    return repair_targets(wanted, check_texts, texts=texts or {}, choice=choice)
