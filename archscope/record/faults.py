"""What goes wrong in a run: operands that do not fit → Mismatches; the exception that ends it → Failure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch

from archscope.errors import first_line
from archscope.fit import Misfit, told
from archscope.record.author import place, raised_at, raising_frame
from archscope.trace import Conflict, Failure, Mismatch, Operand, Says, Site

Known = Callable[[torch.Tensor], Operand | None]


class Faults:
    """What was noted so far, each at the Site where the run was."""

    def __init__(self) -> None:
        self.mismatches: list[Mismatch] = []
        self._failure: tuple[BaseException, Failure] | None = None

    def misfit(self, site: Site, op: str, operands: tuple[Operand, ...], misfit: Misfit, row: int) -> None:
        """A function's operands do not fit."""
        self._note(site, misfit.kind, op, operands, misfit.axes, misfit.fact, misfit.says, row)

    def conflict(self, site: Site, conflict: Conflict, operands: tuple[Operand, ...], row: int) -> None:
        """What was known to be wrong with a layer."""
        self._note(site, "layer", site.name, operands, conflict.axes, conflict.fact, conflict.says, row)

    def refusal(self, site: Site, says: Says, axes: tuple[int, ...], fact: str, operand: Operand, row: int) -> None:
        """A layer has raised since it was told something else than its input or its state has."""
        fact = fact or told(site.name, says.argument, says.said, operand.value.shape, says.has)
        self._note(site, "layer", site.name, (operand,), axes, fact, says, row)

    def _note(
        self,
        site: Site,
        kind: str,
        op: str,
        operands: tuple[Operand, ...],
        axes: tuple[int, ...],
        fact: str,
        says: Says | None,
        row: int,
    ) -> None:
        here = site if site.place else site._replace(place=place())
        self.mismatches.append(Mismatch(here, kind, op, operands, axes, fact, says, row))

    def failed_in(
        self,
        site: Site,
        function: str,
        operands: tuple[Operand, ...],
        named: tuple[tuple[str, Operand], ...],
        numbers: tuple[int, ...],
        error: BaseException,
    ) -> None:
        """A function has raised. named: of its operands those that were given by name. numbers: see Failure."""
        self._failure = error, Failure(site, function, operands, first_line(error), named=named, numbers=numbers)

    def failed_backward(self, site: Site, error: BaseException) -> None:
        """The backward pass has raised."""
        self._failure = error, Failure(site, "", (), first_line(error), backward=True)

    def left(self, site: Site, error: BaseException | None) -> None:
        """A Site is left with this exception; the first place counts."""
        if error is not None and self._noted(error) is None:
            self._failure = error, Failure(site, "", (), named(error))

    def _noted(self, error: BaseException | None) -> Failure | None:
        """What was noted of an exception, or of the one that it was raised from."""
        while error is not None and self._failure is not None:
            if error is self._failure[0]:
                return self._failure[1]
            error = error.__cause__ or error.__context__
        return None

    def ended(self, site: Site, error: BaseException, known: Known) -> Failure:
        """The Failure that ended the run: of the torch function that raised it, else of the innermost Site.

        known: a tensor → the operand that it was in the run.
        """
        failure = self._noted(error) or Failure(site, "", (), named(error))
        where = failure.site if failure.site.place else failure.site._replace(place=raised_at(error))
        frame = raising_frame(error)
        local = {name: one for name, one in frame.f_locals.items() if isinstance(one, torch.Tensor)} if frame else {}
        operands = ((name, known(tensor)) for name, tensor in local.items())
        return replace(failure, site=where, local=tuple((name, one) for name, one in operands if one is not None))


def named(error: BaseException) -> str:
    """What an exception says, behind its class where the words alone would not tell: `KeyError: 'weights'`."""
    said, name = first_line(error), type(error).__name__
    return said if said == name or isinstance(error, (RuntimeError, ValueError, TypeError)) else f"{name}: {said}"
