"""Ctrl-C ends the program with 130, wherever it is and whatever is made of its exception; no more is said."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from archscope.interrupts import INTERRUPT_EXIT_CODE, InterruptHandler

LIMIT = 20.0
"""Seconds after which a child has failed; the goal is two."""
READY = "from archscope.interrupts import install_handler; install_handler(); print('ready', flush=True)\n"
PROGRAM = READY + "from archscope.cli import main; main()"
MODELS = """
import pathlib, time
import torch
from torch import nn


def wait(seconds=60):
    pathlib.Path("here").touch()
    time.sleep(seconds)


class Sleeps(nn.Module):
    def forward(self, x):
        wait()
        return x


class Swallows(nn.Module):
    def forward(self, x):
        while True:
            try:
                wait(0.05)
            except BaseException:
                pass


class SwallowsOnce(nn.Module):
    def forward(self, x):
        try:
            wait()
        except BaseException:
            pass
        return x


class Turns(nn.Module):
    def forward(self, x):
        try:
            wait()
        except BaseException as error:
            raise RuntimeError("turned") from error


class TurnsWhileMade(nn.Module):
    def __init__(self):
        super().__init__()
        try:
            wait()
        except BaseException as error:
            raise ValueError("turned") from error


class Deleted:
    def __del__(self):
        wait(1)


class InDel(nn.Module):
    def forward(self, x):
        held = Deleted()
        del held
        return x + x[:1, :3]


class InBackward(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x):
        y = self.layer(x)
        if y.requires_grad:
            y.register_hook(lambda gradient: wait())
        return y


class InKernel(nn.Module):
    def forward(self, x):
        pathlib.Path("here").touch()
        torch.linalg.eigvals(torch.randn(4000, 4000))
        return x


class Misfit(nn.Module):  # a search for fixes makes it again
    def __init__(self, width=8):
        super().__init__()
        if pathlib.Path("first").exists():
            wait()
        pathlib.Path("first").touch()
        self.a, self.b = nn.Linear(4, width), nn.Linear(9, 4)

    def forward(self, x):
        return self.b(self.a(x))
"""
WAITS = "import pathlib, time\npathlib.Path('here').touch()\ntime.sleep(60)\n"


def heed() -> None:
    """In a child: Ctrl-C is handled, also where the tests run in the background, which ignores it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def started(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """A child that heeds Ctrl-C from its first line on."""
    child = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    return child


def ended(child: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Exit code, output, messages of a child after Ctrl-C."""
    child.send_signal(signal.SIGINT)
    try:
        output, messages = child.communicate(timeout=LIMIT)
    finally:
        child.kill()
    return child.returncode, output, messages.strip()


def is_there(path: Path) -> None:
    end = time.monotonic() + 3 * LIMIT
    while not path.exists():
        assert time.monotonic() < end, f"{path.name} has not come"
        time.sleep(0.02)


COMMANDS = {
    "a forward pass": ("summary", "Sleeps", ()),
    "of check": ("check", "Sleeps", ("--format", "json")),
    "one that swallows it": ("summary", "Swallows", ()),
    "one that swallows it and goes on": ("check", "SwallowsOnce", ("--format", "json")),
    "one that makes another of it": ("check", "Turns", ("--format", "sarif")),
    "a constructor": ("check", "TurnsWhileMade", ("--format", "github")),
    "a finaliser": ("check", "InDel", ("--format", "lines")),
    "a backward pass": ("summary", "InBackward", ("--train",)),
    "a kernel": ("summary", "InKernel", ()),
    "a search for fixes": ("check", "Misfit", ()),
}


@pytest.mark.parametrize("case", COMMANDS)
def test_ctrl_c_ends_a_run_and_is_no_finding(case: str, tmp_path: Path) -> None:
    command, name, more = COMMANDS[case]
    (tmp_path / "net.py").write_text(MODELS)
    child = started(tmp_path, command, f"net.py:{name}", "--input", "4x4", "--device", "cpu", *more)
    is_there(tmp_path / "here")
    time.sleep(0.05)
    assert ended(child) == (INTERRUPT_EXIT_CODE, "", "")


RAISES = """
from torch import nn


class Own(KeyboardInterrupt):
    pass


class Forward(nn.Module):
    def forward(self, x):
        raise Own("mine")


class Made(nn.Module):
    def __init__(self):
        raise KeyboardInterrupt


class Looked(nn.Module):
    def named_modules(self, *given, **named):
        raise BaseException("hidden")
"""


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [
        ("Forward", 1, "the forward pass failed: Own: mine"),
        ("Made", 2, "cannot be made: KeyboardInterrupt"),
        ("Looked", 2, "BaseException: hidden"),
    ],
)
def test_what_a_model_raises_itself_is_told(name: str, code: int, said: str, tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(RAISES)
    child = started(tmp_path, "summary", f"net.py:{name}", "--input", "4x4", "--device", "cpu")
    _, messages = child.communicate(timeout=3 * LIMIT)
    assert child.returncode == code
    assert said in messages
    assert "Traceback" not in messages


@pytest.mark.parametrize("late", [False, True])
def test_what_is_done_is_done(late: bool, tmp_path: Path) -> None:
    """While the exit functions run it still ends with 130; when Python itself is taken down the result stands."""
    net = tmp_path / "net.yaml"
    net.write_text("input: [N, 4]\nlayers: [ReLU]\n")
    at_end = "import atexit, os, signal\nend = lambda: os.kill(os.getpid(), signal.SIGINT)\n"
    waits = "class Last:\n    def __del__(self):\n        end()\nlast = Last()\n" if late else "atexit.register(end)\n"
    program = f"{READY}{at_end}{waits}from archscope.cli import main; main()"
    command = [sys.executable, "-c", program, "check", "net.yaml", "-o", "found"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False, timeout=3 * LIMIT, preexec_fn=heed)
    assert (done.returncode, done.stderr) == (0 if late else INTERRUPT_EXIT_CODE, b"")
    assert (tmp_path / "found").read_text() == "no problems in net.yaml\n"


def test_ctrl_c_ends_an_import(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(WAITS)
    child = started(tmp_path, "summary", "net.py:Net")
    is_there(tmp_path / "here")
    assert ended(child) == (INTERRUPT_EXIT_CODE, "", "")


@pytest.mark.parametrize("delay", [0.0, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0])
def test_ctrl_c_ends_it_from_the_first_moment_on(delay: float, tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(MODELS)
    child = started(tmp_path, "summary", "net.py:Sleeps", "--input", "4x4")
    time.sleep(delay)
    assert ended(child) == (INTERRUPT_EXIT_CODE, "", "")


MEASURED = """
import pathlib, random, sys, time
from torch import nn

dice = random.Random(0)


def samples():  # of whole runs, so far
    frame = sys._getframe()
    while frame is not None and frame.f_code.co_name != "collect_samples":
        frame = frame.f_back
    return len(frame.f_locals["found"].seconds["whole"]) if frame is not None else 0


class Net(nn.Linear):
    def forward(self, x):
        time.sleep(dice.choice([0.002, 0.02]))  # so that the median is not certain for a long time
        if samples() > 3:
            pathlib.Path("here").touch()
        return super().forward(x)
"""


def test_what_was_measured_is_told(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(MEASURED)
    asked = ("--arg", "in_features=4", "--arg", "out_features=4", "--input", "4x4", "--seconds", "30")
    child = started(tmp_path, "time", "net.py:Net", *asked, "--no-roofline", "--device", "cpu")
    is_there(tmp_path / "here")
    code, output, _ = ended(child)
    assert (code, "interrupted: what was measured so far" in output) == (INTERRUPT_EXIT_CODE, True)


def test_a_program_in_the_background_goes_on_ignoring_it(tmp_path: Path) -> None:
    program = f"import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n{READY}"
    program += "import os; os.kill(os.getpid(), signal.SIGINT)\nfrom archscope.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", program, "schema"], capture_output=True, check=False, timeout=LIMIT)
    assert done.returncode == 0


def test_a_handler_in_charge_raises_and_remembers() -> None:
    interrupts = InterruptHandler()
    with pytest.raises(KeyboardInterrupt):
        interrupts(signal.SIGINT, None)
    assert interrupts.pending
    interrupts.is_awaited = True
    assert not interrupts.pending
