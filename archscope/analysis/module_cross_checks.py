"""A Python target or a live module → CrossCheck."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from archscope import targets
from archscope.analysis.cross_checks import CrossCheckTarget, run_cross_check
from archscope.analysis.module_runs import prepare_target
from archscope.analysis.report_requests import with_request
from archscope.analysis.run_options import RunOptions
from archscope.counters.differences import CrossCheck
from archscope.counters.model_call import ModelCall


def cross_check_module(target: Any, options: RunOptions) -> CrossCheck:
    """Return the counts of a Python target or a live module. Raises UsageError, ForwardError."""
    with targets.target_import_path(target):
        with targets.seeded(options.seed):
            prepared = prepare_target(target, options)
        module = prepared.target_module
        call = ModelCall(prepared.module, prepared.args, prepared.kwargs, options.train)
        checked = CrossCheckTarget(call, module.name, module.title, module.notes)
        found = run_cross_check(checked, options.report_progress)
    return replace(found, report=with_request(found.report, target, options))
