"""Mutations: an Origin and a seed → edits of its text, shuffled within each kind, one kind after the other in turn.

Origin → Library, a run of the author's net → edits → Mutation (the whole text, what was changed, where)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import archscope
from archscope.spec import load
from tests.mutations.corpus import Origin
from tests.mutations.edit import CAUSES, KINDS, Edit, Sized
from tests.mutations.kinds import PLACED, constants, inputs
from tests.mutations.oracle import MOST_VARIANTS, chosen
from tests.mutations.places import Text, found


@dataclass(frozen=True)
class Mutation:
    """One textual change of one file. lines: where a diagnosis may point, the edit's own line first. text: the whole
    file after it."""

    file: str
    kind: str
    line: int
    before: str
    after: str
    words: str
    lines: tuple[int, ...]
    causes: frozenset[str]
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.kind}: {self.words}"


def mutations(origin: Origin, folder: Path, *, seed: int, kinds: Iterable[str] = KINDS) -> list[Mutation]:
    """Every mutation of a file; the order is the seed's. `folder` is written to."""
    queues = [shuffled(origin, kind, edits, seed) for kind, edits in grouped(origin, folder, kinds).items()]
    return list(in_turn(queues))


def grouped(origin: Origin, folder: Path, kinds: Iterable[str]) -> dict[str, list[Mutation]]:
    net, wanted = origin.put(folder), dict.fromkeys(kinds)
    library, text = load(net), Text(origin.text)
    name = str(folder / origin.path)
    sized = sizes(net, name)
    edits = [edit for place in found(library, name) for kind in PLACED for edit in kind(place, text, sized)]
    edits += [*constants(library.files[name], text), *inputs(library.files[name], text)]
    made = {mutation.text: mutation for edit in edits if edit.kind in wanted for mutation in [mutated(origin, edit)]}
    return {kind: [m for m in made.values() if m.kind == kind and m.text != origin.text] for kind in wanted}


def mutated(origin: Origin, edit: Edit) -> Mutation:
    text = Text(origin.text[: edit.start] + edit.new + origin.text[edit.end :])
    original, line = Text(origin.text), text.line(edit.start)
    removed = not edit.new and edit.end < len(origin.text) and origin.text[edit.end - 1] == "\n"
    return Mutation(
        file=origin.name,
        kind=edit.kind,
        line=line,
        before=original.whole(line).strip(),
        after="(removed)" if removed else text.whole(line).strip(),
        words=edit.words,
        lines=(line, *edit.lines),
        causes=edit.causes or CAUSES[edit.kind],
        text=text.text,
    )


def sizes(net: str, file: str) -> Sized:
    """What arrives at every layer of `file`."""
    seen: dict[tuple[int, str], set[int]] = {}
    for target in chosen(net, MOST_VARIANTS):
        report = archscope.summarize(target, device="meta")
        for row in report.trace.rows:
            shape = next((operand.value.shape for operand in report.index.activations(row)), ())
            if row.place and row.place.file == file and len(shape) > 1:
                axis = 1 if row.op.startswith(("Conv", "BatchNorm")) else -1
                seen.setdefault((row.place.line, row.op), set()).add(shape[axis])
    return Sized({key: frozenset(found) for key, found in seen.items()})


def shuffled(origin: Origin, kind: str, made: list[Mutation], seed: int) -> list[Mutation]:
    order = sorted(made, key=lambda mutation: (mutation.line, mutation.text))
    Random(f"{seed} {origin.name} {kind}").shuffle(order)
    return order


def in_turn(queues: list[list[Mutation]]) -> Iterator[Mutation]:
    """The first of every queue, then the second of every queue, …"""
    for turn in range(max(map(len, queues), default=0)):
        yield from (queue[turn] for queue in queues if turn < len(queue))
