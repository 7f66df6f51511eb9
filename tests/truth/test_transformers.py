"""Architectures of transformers from small configs, without weights: the multiply-adds of an independent count."""

from __future__ import annotations

import pytest
import torch

import archscope
from tests.truth.cases import ALL, KINDS, UNKNOWN
from tests.truth.laws import report_of
from tests.truth.packages import package
from tests.truth.purity import failing_leaves_no_trace, leaves_no_trace
from tests.truth.witness import counted
from tests.truth.zoo import Case

transformers = package("transformers")
transformers.logging.set_verbosity_error()
pytestmark = pytest.mark.filterwarnings("ignore")  # what transformers warns about is its own

BY_NAME = {case.name: case for case in ALL}
ON_META = (
    *("LlamaForCausalLM", "LlamaForCausalLM-eager", "GPT2LMHeadModel", "BertForMaskedLM", "T5ForConditionalGeneration"),
    *("WhisperForConditionalGeneration", "ViTForImageClassification", "CLIPModel", "Mamba2ForCausalLM", "HubertModel"),
    "Olmo2ForCausalLM",
)
WATCHED = (
    *(
        "BertForMaskedLM",
        "GPT2LMHeadModel",
        "LlamaForCausalLM",
        "MixtralForCausalLM-loop",
        "T5ForConditionalGeneration",
    ),
    *("MambaForCausalLM", "Wav2Vec2Model", "EncodecModel", "ResNetForImageClassification", "CLIPModel"),
)


def test_the_zoo_is_large_and_every_name_is_one() -> None:
    assert len({case.model for case in ALL}) >= 150
    assert len(BY_NAME) == len(ALL)
    assert {*ON_META, *WATCHED, *UNKNOWN} <= BY_NAME.keys()
    assert all(len(cases) >= 2 for cases in KINDS.values())


@pytest.mark.law
@pytest.mark.parametrize("case", ALL, ids=lambda case: case.name)
def test_an_independent_count_agrees(case: Case) -> None:
    model, given = case.made(transformers), case.given()
    report = report_of(model, (), given)
    assert report.unpriced.keys() == UNKNOWN.get(case.name, frozenset())
    assert report.total.known == counted(model, (), given)


@pytest.mark.law
@pytest.mark.parametrize("name", ON_META)
def test_meta_gives_what_the_cpu_gives(name: str) -> None:
    case = BY_NAME[name]
    real = archscope.summarize(case.made(transformers), kwargs=case.given())
    meta = archscope.summarize(case.made(transformers, "meta"), kwargs=case.given("meta"))
    assert (meta.total.params, meta.total.macs) == (real.total.params, real.total.macs)


@pytest.mark.law
@pytest.mark.parametrize("name", WATCHED)
def test_a_model_is_left_as_it_was(name: str) -> None:
    case = BY_NAME[name]
    leaves_no_trace(lambda: case.made(transformers), (), case.given())


@pytest.mark.parametrize("name", ["BertForMaskedLM", "LlamaForCausalLM", "T5ForConditionalGeneration"])
def test_a_model_that_fails_is_left_as_it_was(name: str) -> None:
    """A token that no table holds."""
    case = BY_NAME[name]
    beyond = {**case.given(), "input_ids": torch.full((1, 16), 1_000)}
    failing_leaves_no_trace(lambda: case.made(transformers), beyond)


@pytest.mark.parametrize(
    "name", ["BertForMaskedLM", "GPT2LMHeadModel", "T5ForConditionalGeneration", "AlbertForMaskedLM"]
)
def test_tied_weights_count_once_and_show(name: str) -> None:
    report = archscope.summarize(BY_NAME[name].made(transformers), kwargs=BY_NAME[name].given())
    tied = [param for param in report.trace.params if param.tied_to]
    assert tied
    assert report.total.params == sum(param.count for param in report.trace.params if not param.tied_to)


def test_a_step_with_a_cache_attends_to_all_that_is_in_it() -> None:
    """One token after 16: the projections of one, and attention over 17 in two layers of four heads of 16."""
    case = BY_NAME["LlamaForCausalLM"]
    model = case.made(transformers)
    with torch.no_grad():
        cache = model(**case.given(), use_cache=True).past_key_values
    step = {"input_ids": torch.full((1, 1), 3), "past_key_values": cache}
    report = archscope.summarize(model, kwargs=step)
    attention = [row.macs for row in report.rows if row.op == "scaled_dot_product_attention"]
    assert attention == [4 * 17 * (16 + 16)] * 2
    weights = sum(p.numel() for name, p in model.named_parameters() if p.dim() == 2 and "embed" not in name)
    assert report.total.macs == weights + sum(attention)
