"""What goes wrong in a run: operands that do not fit → Mismatches; the exception that ends it → Failure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch

from archscope.errors import first_line
from archscope.record.user_frame import raising_frame, raising_span, user_span
from archscope.shape_errors import ShapeProblem, size_message
from archscope.trace import Failure, LayerConflict, Location, Mismatch, Operand, WrongArgument

FindOperand = Callable[[torch.Tensor], Operand | None]


class MismatchLog:
    """What was noted so far, each at the Location where the run was."""

    def __init__(self) -> None:
        self.mismatches: list[Mismatch] = []
        self._failure: tuple[BaseException, Failure] | None = None

    def add_mismatch(
        self, site: Location, op: str, operands: tuple[Operand, ...], misfit: ShapeProblem, row: int
    ) -> None:
        """A function's operands do not fit."""
        self._add(site, misfit.kind, op, operands, misfit.axes, misfit.fact, misfit.wrong_argument, row)

    def add_conflict(self, site: Location, conflict: LayerConflict, operands: tuple[Operand, ...], row: int) -> None:
        """What was known to be wrong with a layer."""
        self._add(site, "layer", site.name, operands, conflict.axes, conflict.fact, conflict.wrong_argument, row)

    def add_layer_error(
        self, site: Location, says: WrongArgument, axes: tuple[int, ...], fact: str, operand: Operand, row: int
    ) -> None:
        """A layer has raised since it was told something else than its input or its state has."""
        fact = fact or size_message(site.name, says.argument, says.given, operand.value.shape, says.needed)
        self._add(site, "layer", site.name, (operand,), axes, fact, says, row)

    def _add(
        self,
        site: Location,
        kind: str,
        op: str,
        operands: tuple[Operand, ...],
        axes: tuple[int, ...],
        fact: str,
        says: WrongArgument | None,
        row: int,
    ) -> None:
        here = site if site.place else site._replace(place=user_span())
        self.mismatches.append(Mismatch(here, kind, op, operands, axes, fact, says, row))

    def set_function_failure(
        self,
        site: Location,
        function: str,
        operands: tuple[Operand, ...],
        named: tuple[tuple[str, Operand], ...],
        numbers: tuple[int, ...],
        error: BaseException,
    ) -> None:
        """A function has raised. named: of its operands those that were given by name. numbers: see Failure."""
        self._failure = (
            error,
            Failure(site, function, operands, first_line(error), named_operands=named, int_arguments=numbers),
        )

    def set_backward_failure(self, site: Location, error: BaseException) -> None:
        """The backward pass has raised."""
        self._failure = error, Failure(site, "", (), first_line(error), backward=True)

    def set_exit_failure(self, site: Location, error: BaseException | None) -> None:
        """A Site is left with this exception; the first place counts."""
        if error is not None and self._failure_of(error) is None:
            self._failure = error, Failure(site, "", (), describe_error(error))

    def _failure_of(self, error: BaseException | None) -> Failure | None:
        """What was noted of an exception, or of the one that it was raised from."""
        while error is not None and self._failure is not None:
            if error is self._failure[0]:
                return self._failure[1]
            error = error.__cause__ or error.__context__
        return None

    def final_failure(self, site: Location, error: BaseException, known: FindOperand) -> Failure:
        """The Failure that ended the run: of the torch function that raised it, else of the innermost Location.

        known: a tensor → the operand that it was in the run.
        """
        failure = self._failure_of(error) or Failure(site, "", (), describe_error(error))
        where = failure.site if failure.site.place else failure.site._replace(place=raising_span(error))
        frame = raising_frame(error)
        local = {name: one for name, one in frame.f_locals.items() if isinstance(one, torch.Tensor)} if frame else {}
        operands = ((name, known(tensor)) for name, tensor in local.items())
        return replace(
            failure, site=where, local_operands=tuple((name, one) for name, one in operands if one is not None)
        )


def describe_error(error: BaseException) -> str:
    """What an exception says, behind its class where the words alone would not tell: `KeyError: 'weights'`."""
    said, name = first_line(error), type(error).__name__
    return said if said == name or isinstance(error, (RuntimeError, ValueError, TypeError)) else f"{name}: {said}"
