"""The errors of a run: operands that do not fit → Mismatches; the exception that ends it → Failure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch

from archscope.errors import first_line
from archscope.ops.shape_errors import ShapeProblem, size_message
from archscope.record.user_frame import raising_frame, raising_span, user_span
from archscope.trace import Failure, LayerConflict, Location, Mismatch, Operand, WrongArgument

FindOperand = Callable[[torch.Tensor], Operand | None]


class MismatchLog:
    """The errors that were recorded so far, each with the Location of the run at that moment."""

    def __init__(self) -> None:
        self.mismatches: list[Mismatch] = []
        self._failure: tuple[BaseException, Failure] | None = None

    def add_mismatch(
        self, site: Location, op: str, operands: tuple[Operand, ...], problem: ShapeProblem, row: int
    ) -> None:
        """Record that a function's operands do not fit."""
        self._add(site, problem.kind, op, operands, problem.axes, problem.fact, problem.wrong_argument, row)

    def add_conflict(self, site: Location, conflict: LayerConflict, operands: tuple[Operand, ...], row: int) -> None:
        """Record what the compiler knows to be wrong with a layer."""
        self._add(site, "layer", site.name, operands, conflict.axes, conflict.fact, conflict.wrong_argument, row)

    def add_layer_error(
        self, site: Location, wrong: WrongArgument, axes: tuple[int, ...], fact: str, operand: Operand, row: int
    ) -> None:
        """Record that a layer raised because an argument differs from what its input or its state needs."""
        fact = fact or size_message(site.name, wrong.argument, wrong.given, operand.value.shape, wrong.needed)
        self._add(site, "layer", site.name, (operand,), axes, fact, wrong, row)

    def _add(
        self,
        site: Location,
        kind: str,
        op: str,
        operands: tuple[Operand, ...],
        axes: tuple[int, ...],
        fact: str,
        wrong: WrongArgument | None,
        row: int,
    ) -> None:
        location = site if site.place else site._replace(place=user_span())
        self.mismatches.append(Mismatch(location, kind, op, operands, axes, fact, wrong, row))

    def set_function_failure(
        self,
        site: Location,
        function: str,
        operands: tuple[Operand, ...],
        named: tuple[tuple[str, Operand], ...],
        numbers: tuple[int, ...],
        error: BaseException,
    ) -> None:
        """Record that a function raised. named: operands passed by keyword. numbers: see Failure."""
        self._failure = (
            error,
            Failure(site, function, operands, first_line(error), named_operands=named, int_arguments=numbers),
        )

    def set_backward_failure(self, site: Location, error: BaseException) -> None:
        """Record that the backward pass raised."""
        self._failure = error, Failure(site, "", (), first_line(error), backward=True)

    def set_exit_failure(self, site: Location, error: BaseException | None) -> None:
        """Record that a Location is left with this exception; the first location counts."""
        if error is not None and self._failure_of(error) is None:
            self._failure = error, Failure(site, "", (), describe_error(error))

    def _failure_of(self, error: BaseException | None) -> Failure | None:
        """Return the Failure that was recorded for an exception, or for the one that it was raised from."""
        while error is not None and self._failure is not None:
            if error is self._failure[0]:
                return self._failure[1]
            error = error.__cause__ or error.__context__
        return None

    def final_failure(self, site: Location, error: BaseException, known: FindOperand) -> Failure:
        """Return the Failure that ended the run: of the torch function that raised it, else of the innermost Location.

        known: a tensor → its operand in the run.
        """
        failure = self._failure_of(error) or Failure(site, "", (), describe_error(error))
        location = failure.site if failure.site.place else failure.site._replace(place=raising_span(error))
        frame = raising_frame(error)
        local = (
            {name: value for name, value in frame.f_locals.items() if isinstance(value, torch.Tensor)} if frame else {}
        )
        operands = ((name, known(tensor)) for name, tensor in local.items())
        return replace(
            failure,
            site=location,
            local_operands=tuple((name, operand) for name, operand in operands if operand is not None),
        )


def describe_error(error: BaseException) -> str:
    """Return an exception's message, after its class name if the message alone is not enough: `KeyError: 'weights'`."""
    message, name = first_line(error), type(error).__name__
    return (
        message if message == name or isinstance(error, (RuntimeError, ValueError, TypeError)) else f"{name}: {message}"
    )
