"""The child: cases from standard input, one line of JSON each, what came of each to standard output.

It holds the limits of memory and of processor time for each case; its parent ends it where it waits too long.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import resource
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

MEMORY = 12_000_000_000
LONGEST = 100_000
"""How many characters of what was printed are told."""


def main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    warnings.simplefilter("ignore")
    import torch

    torch.set_num_threads(1)
    tell = os.fdopen(os.dup(1), "w")
    file = Path(sys.argv[1])
    warmed(file)
    answer(tell, "ready")
    for line in sys.stdin:
        case = json.loads(line)
        signal.setitimer(signal.ITIMER_PROF, float(sys.argv[2]))  # ends the process
        began = time.process_time()
        code, place, text = outcome(KINDS[case["kind"]], case, file)
        spent = time.process_time() - began
        signal.setitimer(signal.ITIMER_PROF, 0)
        told = {"code": code, "place": place, "text": text[:LONGEST], "seconds": round(spent, 3)}
        answer(tell, json.dumps(told))


def answer(to: TextIO, line: str) -> None:
    to.write(line + "\n")
    to.flush()


def warmed(file: Path) -> None:
    """What a first run imports is no part of a case's time."""
    text = "input: [N, 4, 8, 8]\nlayers: ['Conv2d(4, 3)(x).cumsum(1).var()']\n"
    outcome(spec_checked, {"text": text, "command": "check"}, file)


def outcome(run: Callable[[Any, Path], int], case: Any, file: Path) -> tuple[int, str, str]:
    """The exit code; where a traceback comes from, empty without one; what was printed, unfolded."""
    quiet = io.StringIO()
    try:
        with contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet):
            code, place = run(case, file), ""
    except SystemExit as error:
        code, place = int(error.code or 0), ""
    except BaseException as error:  # noqa: BLE001 - whatever comes through is what is looked for
        code, place = -1, place_of(error)
    return code, place, " ".join(quiet.getvalue().split())


def place_of(error: BaseException) -> str:
    """`IndexError at report/receptive_extent.py:91`: the exception and the innermost line of ours."""
    ours = [one for one in traceback.extract_tb(error.__traceback__) if f"{os.sep}archscope{os.sep}" in one.filename]
    last = ours[-1] if ours else traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {'/'.join(Path(last.filename).parts[-2:])}:{last.lineno}: {str(error)[:80]}"


def spec_checked(case: Any, file: Path) -> int:
    from archscope.cli.program import run_command_line

    file.write_text(case["text"], "utf-8")
    return run_command_line([case["command"], str(file), *case.get("options", ())])


def model_summarized(case: Any, _: Path) -> int:
    import archscope
    from archscope.errors import ArchscopeError
    from tests.fuzz.changes import live_model

    made = live_model(case["seed"])
    if made is None:
        return 0
    model, shape = made
    try:
        archscope.summarize(model, input=shape, device="meta" if case["seed"] % 2 else "cpu")
        return 0
    except ArchscopeError:
        return 1


def asleep(case: Any, _: Path) -> int:
    """What takes too long, for the test of the parent."""
    time.sleep(case["seconds"])
    return 0


KINDS = {"sleep": asleep, "spec": spec_checked, "model": model_summarized}

if __name__ == "__main__":
    main()
