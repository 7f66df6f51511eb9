"""What every test keeps to: a run leaves nothing behind, also a failing one. And how much of each law is run."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import settings

from tests.sampling import split, times

pytest_plugins = ["pytester"]


def belongings() -> dict[str, Any]:
    """The state of torch that a run could change; nothing where torch is not imported."""
    torch = sys.modules.get("torch")
    if torch is None:
        return {}
    hooks = torch.nn.modules.module
    return {
        "grad mode": torch.is_grad_enabled(),
        "inference mode": torch.is_inference_mode_enabled(),
        "default dtype": torch.get_default_dtype(),
        "default device": str(torch.empty(0).device),
        "deterministic algorithms": torch.are_deterministic_algorithms_enabled(),
        "fused attention path": torch.backends.mha.get_fastpath_enabled(),
        "function modes": torch.overrides._len_torch_function_stack(),
        "dispatch modes": torch.utils._python_dispatch._len_torch_dispatch_stack(),
        "global module hooks": sum(len(getattr(hooks, name)) for name in GLOBAL_HOOKS),
        "random state": torch.random.get_rng_state().numpy().tobytes(),
    }


GLOBAL_HOOKS = (
    "_global_buffer_registration_hooks",
    "_global_module_registration_hooks",
    "_global_parameter_registration_hooks",
    "_global_backward_pre_hooks",
    "_global_backward_hooks",
    "_global_forward_pre_hooks",
    "_global_forward_hooks",
)


settings.register_profile("sample", max_examples=25, derandomize=True)
settings.register_profile("all", max_examples=1000, deadline=None)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--laws", choices=["sample", "all"], default="sample", help="the cases of each law that are run")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "moves_rng: the test draws random numbers from torch's own generator")
    settings.load_profile(config.getoption("laws"))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out what is in no sample; last of all, so that few cases that were asked for by name are all run."""
    if config.getoption("laws") == "sample":
        items[:], out = split(items)
        config.hook.pytest_deselected(items=out)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """A line for each law that was run: how long it took."""
    reports = (one for kind in terminalreporter.stats.values() for one in kind if isinstance(one, pytest.TestReport))
    laws = times(reports)
    if laws:
        total = sum(spent.seconds for spent in laws.values())
        terminalreporter.section(f"laws, {config.getoption('laws')}: {total:.0f} s")
    for law, spent in laws.items():
        terminalreporter.write_line(f"{spent.seconds:7.2f} s {spent.cases:5}  {law}")


@pytest.fixture(scope="session")
def all_laws(pytestconfig: pytest.Config) -> bool:
    """Whether laws are run whole: for those that draw their own cases."""
    return pytestconfig.getoption("laws") == "all"


@pytest.fixture(autouse=True)
def nothing_left_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """Compares torch's global state before and after; the random state too, unless the test is marked `moves_rng`."""
    before = belongings()
    yield
    after = belongings() if before else {}
    allowed = {"random state"} if request.node.get_closest_marker("moves_rng") else set()
    changed = [name for name in before if name not in allowed and before[name] != after[name]]
    assert not changed, f"left changed behind: {', '.join(changed)}"
