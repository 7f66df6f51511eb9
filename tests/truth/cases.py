"""The table of the zoo: which architectures of transformers, how small, and what they are called with."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from tests.truth.zoo import PAIR, PIXELS, SOUND, TEXT, Case, Given, each, ids, image

EAGER = {"attn_implementation": "eager"}
LATENT = {
    "head_dim": ...,
    "qk_rope_head_dim": 16,
    "num_key_value_heads": 4,
    "n_group": 1,
    "topk_group": 1,
    "first_k_dense_replace": 1,
    "num_experts_per_tok": 2,
}
LOOP = {"experts_implementation": "eager"}

ENCODERS = (
    *each(
        "{}ForMaskedLM",
        """
        Bert Roberta Camembert XLMRoberta DistilBert Albert Electra Ernie MPNet Deberta DebertaV2
        ConvBert MegatronBert MobileBert ModernBert Nystromformer SqueezeBert RoFormer RoCBert
        Data2VecText IBert EuroBert NomicBert
        """,
        TEXT,
    ),
    Case("BertForMaskedLM", TEXT, EAGER, note="eager"),
    Case("BigBirdForMaskedLM", TEXT, {"attention_type": "original_full"}),
    Case("CanineModel", TEXT),
    Case("FunnelForMaskedLM", TEXT, {"block_sizes": [1, 1], "d_inner": 128, "num_hidden_layers": ...}),
    Case("FNetForMaskedLM", TEXT),
    Case("LayoutLMForMaskedLM", {**TEXT, "bbox": Given((1, 16, 4), torch.int64)}),
    Case("LongformerForMaskedLM", TEXT, {"attention_window": 8}),
    Case(
        "PerceiverForMaskedLM", {"inputs": ids()}, {"d_latents": 64, "num_latents": 8, "num_self_attends_per_block": 2}
    ),
    Case(
        "ReformerModelWithLMHead",
        TEXT,
        {"axial_pos_shape": [4, 4], "axial_pos_embds_dim": [32, 32], "is_decoder": True},
    ),
    Case("XLMWithLMHeadModel", TEXT),
    Case("XLNetLMHeadModel", TEXT, {"max_position_embeddings": ...}),
)

DECODERS = (
    *each(
        "{}ForCausalLM",
        """
        Llama Mistral Gemma Gemma2 Gemma3 Qwen2 Qwen3 Phi Phi3 GPTNeoX OPT Bloom Mpt StableLm Olmo
        Olmo2 Olmo3 Starcoder2 Cohere Cohere2 Granite BioGpt XGLM Persimmon Helium SmolLM3 Glm Glm4
        DiffLlama GPTBigCode Exaone4 BitNet ModernBertDecoder NanoChat Apertus
        """,
        TEXT,
    ),
    Case("GPT2LMHeadModel", TEXT),
    Case("GPT2LMHeadModel", TEXT, EAGER, note="eager"),
    Case("LlamaForCausalLM", TEXT, EAGER, note="eager"),
    Case("LlamaForCausalLM", {**TEXT, "attention_mask": Given((1, 16), torch.int64, 1)}, note="masked"),
    Case("LlamaForCausalLM", {**TEXT, "labels": ids()}, note="loss"),
    Case("Gemma2ForCausalLM", TEXT, EAGER, note="eager"),
    Case("GPTNeoForCausalLM", TEXT, {"attention_types": [[["global", "local"], 1]]}),
    Case("FalconForCausalLM", TEXT, {"head_dim": ...}),
    Case("GPTJForCausalLM", TEXT, {"rotary_dim": 16}),
    Case("CodeGenForCausalLM", TEXT, {"rotary_dim": 16}),
    Case("MinistralForCausalLM", TEXT, {"head_dim": 16}),
    Case("CTRLLMHeadModel", TEXT, {"dff": 128}),
    Case("OpenAIGPTLMHeadModel", TEXT),
    Case("ImageGPTForCausalImageModeling", TEXT),
)

ROUTED = "Mixtral Qwen2Moe Qwen3Moe Olmoe GraniteMoe Phimoe GptOss"
MIXTURES = (
    *each("{}ForCausalLM", ROUTED, TEXT),
    *each("{}ForCausalLM", ROUTED, TEXT, LOOP, note="loop"),
    Case("DeepseekV2ForCausalLM", TEXT, LATENT),
    Case("DeepseekV3ForCausalLM", TEXT, LATENT),
    Case("JetMoeForCausalLM", TEXT),
    Case("Llama4ForCausalLM", TEXT),
    Case("SwitchTransformersForConditionalGeneration", PAIR),
    Case("NllbMoeForConditionalGeneration", PAIR),
)

RECURRENT = (
    Case("MambaForCausalLM", TEXT),
    Case("FalconMambaForCausalLM", TEXT),
    Case("Mamba2ForCausalLM", TEXT, {"head_dim": 16, "num_heads": 8, "state_size": 16}),
    Case("JambaForCausalLM", TEXT, {"attn_layer_period": 2, "attn_layer_offset": 1, "use_mamba_kernels": False}),
    Case("RecurrentGemmaForCausalLM", TEXT, {"num_hidden_layers": 3, "lru_width": 64}),
    Case("RwkvForCausalLM", TEXT, {"attention_hidden_size": 64}),
    Case("Lfm2ForCausalLM", TEXT),
    Case("FalconH1ForCausalLM", TEXT),
    Case(
        "Qwen3NextForCausalLM",
        TEXT,
        {"linear_key_head_dim": 16, "linear_value_head_dim": 16, "layer_types": ["linear_attention", "full_attention"]},
    ),
    Case("BambaForCausalLM", TEXT, {"attn_layer_indices": [1], "mamba_n_heads": 8, "mamba_d_head": 16}),
    Case(
        "Zamba2ForCausalLM",
        TEXT,
        {
            "n_mamba_heads": 8,
            "mamba_headdim": 16,
            "layer_types": ["mamba", "hybrid"],
            "num_hidden_layers": 2,
            "hybrid_layer_ids": [1],
        },
    ),
    Case("xLSTMForCausalLM", TEXT, {"qk_dim_factor": 1.0}),
)

ENCODER_DECODERS = (
    *each(
        "{}ForConditionalGeneration",
        "T5 MT5 UMT5 LongT5 Bart MBart Pegasus PegasusX Blenderbot M2M100 PLBart Mvp",
        PAIR,
    ),
    Case(
        "T5ForConditionalGeneration",
        PAIR,
        {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False},
        note="gated",
    ),
    Case("BartForConditionalGeneration", PAIR, EAGER, note="eager"),
    Case("BlenderbotSmallForConditionalGeneration", PAIR),
    Case("MarianMTModel", PAIR),
    Case("ProphetNetForConditionalGeneration", PAIR, {"num_hidden_layers": ...}),
    Case("FSMTForConditionalGeneration", PAIR, {"langs": ["en", "de"], "src_vocab_size": 128, "tgt_vocab_size": 128}),
    Case("LEDForConditionalGeneration", PAIR, {"attention_window": 8}),
    Case("BigBirdPegasusForConditionalGeneration", PAIR, {"attention_type": "original_full"}),
    Case(
        "WhisperForConditionalGeneration",
        {"input_features": Given((1, 80, 200)), "decoder_input_ids": ids(8)},
        {"max_source_positions": 100, "max_target_positions": 64},
    ),
    Case(
        "Speech2TextForConditionalGeneration",
        {"input_features": Given((1, 200, 80)), "decoder_input_ids": ids(8)},
        {"conv_channels": 64},
    ),
)

VISION = (
    *each(
        "{}",
        """
        ViTForImageClassification DeiTForImageClassification BeitForImageClassification Dinov2Model
        DINOv3ViTModel IJepaModel ViTMAEModel ViTMSNModel Data2VecVisionModel
        """,
        PIXELS,
        {"image_size": 32, "patch_size": 8},
    ),
    Case("ViTForImageClassification", PIXELS, {**EAGER, "image_size": 32, "patch_size": 8}, note="eager"),
    *each(
        "{}",
        """
        ResNetForImageClassification RegNetForImageClassification MobileNetV1ForImageClassification
        MobileNetV2ForImageClassification PoolFormerForImageClassification
        FocalNetForImageClassification SegformerForSemanticSegmentation BitForImageClassification
        PvtV2ForImageClassification DINOv3ConvNextModel HGNetV2ForImageClassification
        """,
        {"pixel_values": image(64)},
    ),
    *each(
        "{}",
        "LevitForImageClassification MobileViTForImageClassification CvtForImageClassification",
        {"pixel_values": image(224)},
    ),
    Case("YolosModel", PIXELS, {"image_size": [32, 32], "patch_size": 8}),
    Case(
        "ConvNextForImageClassification",
        {"pixel_values": image(64)},
        {"num_hidden_layers": ..., "depths": [1, 1, 2, 1]},
    ),
    Case(
        "ConvNextV2ForImageClassification",
        {"pixel_values": image(64)},
        {"num_hidden_layers": ..., "depths": [1, 1, 2, 1]},
    ),
    Case(
        "SwinForImageClassification",
        {"pixel_values": image(224)},
        {"embed_dim": ..., "depths": [2, 2], "num_heads": [3, 6]},
    ),
    Case(
        "Swinv2ForImageClassification",
        {"pixel_values": image(256)},
        {"image_size": 256, "window_size": 8, "embed_dim": ..., "depths": [2, 2], "num_heads": [3, 6]},
    ),
    Case("HieraForImageClassification", {"pixel_values": image(224)}),
    Case(
        "DPTForDepthEstimation",
        {"pixel_values": image(384)},
        {"num_hidden_layers": 4, "backbone_out_indices": [0, 1, 2, 3], "neck_hidden_sizes": [16] * 4},
    ),
    Case("DetrForObjectDetection", {"pixel_values": image(64)}),
    Case(
        "TimesformerModel",
        {"pixel_values": Given((1, 2, 3, 32, 32))},
        {"image_size": 32, "patch_size": 8, "num_frames": 2},
    ),
    Case(
        "VideoMAEModel",
        {"pixel_values": Given((1, 2, 3, 32, 32))},
        {"image_size": 32, "patch_size": 8, "num_frames": 2},
    ),
    Case(
        "VivitModel",
        {"pixel_values": Given((1, 2, 3, 32, 32))},
        {"image_size": 32, "tubelet_size": [2, 8, 8], "num_frames": 2},
    ),
)

AUDIO = (
    *each("{}Model", "Wav2Vec2 Hubert WavLM UniSpeech Data2VecAudio SEW", SOUND),
    Case("ASTModel", {"input_values": Given((1, 64, 32))}, {"max_length": 64, "num_mel_bins": 32}),
    Case("Wav2Vec2BertModel", {"input_features": Given((1, 50, 160))}),
    Case("Wav2Vec2ConformerModel", SOUND),
    Case("EncodecModel", {"input_values": Given((1, 1, 2400))}, {"hidden_size": 128}),
    Case(
        "MimiModel",
        {"input_values": Given((1, 1, 3840))},
        {"hidden_size": 512, "vector_quantization_hidden_dimension": 256},
    ),
)

SIGHT = {"image_size": 32, "patch_size": 8}
BOTH = {**TEXT, **PIXELS}
NARROW = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "vocab_size": 128,
}
MULTIMODAL = (
    *each("{}Model", "CLIP Siglip AltCLIP ChineseCLIP Blip CLIPSeg", BOTH, {"text_config": {}, "vision_config": SIGHT}),
    Case("ViltModel", BOTH, SIGHT),
    Case("VisualBertModel", {**TEXT, "visual_embeds": Given((1, 4, 64))}, {"visual_embedding_dim": 64}),
    Case(
        "LxmertModel",
        {**TEXT, "visual_feats": Given((1, 4, 2048)), "visual_pos": Given((1, 4, 4))},
        {"l_layers": 2, "x_layers": 2, "r_layers": 2},
    ),
    Case(
        "LlavaForConditionalGeneration",
        TEXT,
        {
            "text_config": {"model_type": "llama", **NARROW},
            "vision_config": {"model_type": "clip_vision_model", **SIGHT, **NARROW},
        },
    ),
    Case("GitForCausalLM", BOTH, {"vision_config": SIGHT}),
    Case("FlavaModel", BOTH, {"image_config": SIGHT, "text_config": {}, "multimodal_config": {}}),
)

SERIES = (
    Case(
        "PatchTSTModel",
        {"past_values": Given((1, 32, 2))},
        {"context_length": 32, "num_input_channels": 2, "patch_length": 4, "patch_stride": 4},
    ),
    Case("PatchTSMixerModel", {"past_values": Given((1, 32, 2))}, {"context_length": 32, "num_input_channels": 2}),
)

KINDS = {
    "text encoders": ENCODERS,
    "text decoders": DECODERS,
    "mixtures of experts": MIXTURES,
    "state spaces and recurrences": RECURRENT,
    "encoder-decoders": ENCODER_DECODERS,
    "vision": VISION,
    "audio": AUDIO,
    "multimodal": MULTIMODAL,
    "time series": SERIES,
}
ALL = tuple(case for cases in KINDS.values() for case in cases)

UNKNOWN: Mapping[str, frozenset[str]] = {
    "FNetForMaskedLM": frozenset(["aten._fft_c2c"]),
}
"""Architectures of which a part has no price by convention → its kernels; all else of them is counted."""
