"""What an expert answers to the public questions of this folder, written down before archscope was asked.

Every size named here was run in PyTorch itself: those that fail fail, and those that are said to fit do.
"""

from __future__ import annotations

from dataclasses import dataclass

Fact = str | tuple[str, ...]
"""A string that a right answer contains, or several of which it contains one."""


@dataclass(frozen=True)
class Question:
    file: str
    rule: str
    line: int
    """The line of the step that is at fault, or where the conflict shows."""
    facts: tuple[Fact, ...]
    never: tuple[str, ...] = ()
    """Strings of a misleading answer."""
    target: str = ""
    """The class or factory of a Python file."""
    args: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()


QUESTIONS = [
    # Five halvings: both axes want a multiple of 32, and the two nearest are named for each.
    Question(
        "01_unet_landscape.yaml",
        "concat-shape",
        15,
        ("33", "47", ("512", "544"), ("736", "768")),
        ("512×544",),
    ),
    # Steps and features are in the wrong order for a convolution: (N, 64, 128) is wanted.
    Question(
        "02_conv1d_steps_first.yaml",
        "layer-shape",
        7,
        ("128", "64", ("permute", "transpose")),
        ("Conv1d(128, 32", "in_channels=128"),
    ),
    # The rounding of the strided convolution is given back by output_padding.
    Question(
        "03_autoencoder_23.yaml",
        "residual-shape",
        7,
        ("23", "24", "output_padding=1"),
        ("project the shortcut",),
    ),
    # The stack of strides wants 400 samples; another kernel at one place does not help.
    Question("04_audio_too_short.yaml", "layer-shape", 12, ("150", "400"), ("kernel_size=2",)),
    # The channels are not the last dimension: permute to (N, H, W, C) and back, or GroupNorm(1, 96).
    Question(
        "05_norm_of_channels.yaml",
        "layer-shape",
        7,
        ("96", "8", ("permute", "GroupNorm(1")),
        ("LayerNorm(8)", "normalized_shape=8", "write 8"),
    ),
    # The table is of 50×50 places, an image of 800×800; this image has 38×50 patches.
    Question(
        "06_positions_landscape.yaml",
        "add-shape",
        9,
        (("1900", "1,900"), ("2500", "2,500"), "38×50", ("50×50", "800×800")),
        ("project",),
    ),
    # 31 pixels: 3×3 with stride 2 and no padding gives 15, 1×1 with stride 2 gives 16.
    Question(
        "07_se_block_15_16.yaml",
        "residual-shape",
        6,
        ("15", "16", ("padding=1", "Conv2d(32, 3, stride=2", "kernel_size=3")),
        ("project the shortcut",),
    ),
    Question("08_guessed_features.yaml", "layer-shape", 14, (("1568", "1,568"), "32×7×7")),
    # Groups divide both 58 and 29: only 1 and 29 do.
    Question(
        "09_pyramid_groups.yaml",
        "layer-shape",
        11,
        ("58", "4", ("groups=1", "groups=29", "1 and 29", "1 or 29")),
        ("groups=2,", "groups=2)", "groups=58"),
    ),
    # Two halvings that are brought back exactly: a multiple of 4.
    Question("10_volume_unet_78.yaml", "concat-shape", 11, ("39", "40", "76", "80"), ("78×80",)),
    # Four joins up to c2: 352 fits, and from 381 on 384 does; or interpolate to the size of the lateral.
    Question(
        "11_pose_pyramid_368.yaml",
        "add-shape",
        17,
        ("23", "24", "352", ("381", "384")),
        ("project the shortcut",),
    ),
    Question(
        "12_vit_on_cifar.py",
        "add-shape",
        19,
        ("5", "197", "14×14", "224×224"),
        ("5 instead of 197",),
        "Vit",
        inputs=("1x3x32x32",),
    ),
    # The channels stand before the places: transpose(1, 2) after flatten(2).
    Question(
        "13_volume_patches.py",
        "add-shape",
        16,
        (("2744", "2,744"), "8", ("transpose", "permute")),
        ("project",),
        "Patches",
        inputs=("1x8x56x56x56",),
    ),
    # 20 filters × 2 are 40 channels, whatever emb_size says.
    Question(
        "14_eeg_embedding.py",
        "add-shape",
        21,
        ("40", "256", ("emb_size=40", "emb_size", "Linear(40, 256", "40 instead of 256")),
        (),
        "Eeg",
        ("emb_size=256",),
        ("1x64x500",),
    ),
    # 12 does not divide 14: a split of 7 or 14, or an image 192 or 384 pixels wide.
    Question(
        "15_stripes_of_12.py",
        "view-shape",
        16,
        ("12", "14", ("split=7", "split=14", "192", "207", "384")),
        ("14 instead of 1 ",),
        "Stripes",
        inputs=("1x3x224x224",),
    ),
    # 5 does not divide 48 and 7 does not divide 52; 6 divides 48.
    Question(
        "16_volume_windows.py",
        "view-shape",
        18,
        ("48", "52", ("90", "91", "100"), ("98", "99", "112")),
        (),
        "Windows",
        inputs=("1x2x96x96x104",),
    ),
    # The gate is made of the images at full size, the map is at a quarter of it; levels[2] has 64×64.
    Question(
        "17_change_mask.py",
        "multiply-shape",
        20,
        ("64", "256"),
        ("project the shortcut",),
        "Changes",
        inputs=("reference=1x3x256x256", "later=1x3x256x256"),
    ),
    # 28 frames × 256 are 7168 samples.
    Question(
        "18_wave_of_7200.py",
        "add-shape",
        22,
        ("448", "450", ("7168", "7,168")),
        ("project the shortcut",),
        "Vocoder",
        inputs=("mels=1x80x28", "noisy=1x1x7200"),
    ),
    Question(
        "19_critic_of_16.py",
        "layer-shape",
        13,
        ("24",),
        ("kernel_size=3",),
        "critic",
        inputs=("1x3x16x16",),
    ),
    # One side rounds 764 / 16 down, the other up: multiples of 16, here 752 or 768.
    Question(
        "20_two_backbones.py",
        "view-shape",
        22,
        (("2820", "2,820"), ("2880", "2,880"), "47", "48", ("752", "768")),
        ("-1 instead of",),
        "Bilinear",
        inputs=("1x3x764x960",),
    ),
    # 80×80 gives 18×18; 82 to 85 give 19×19.
    Question(
        "21_relation_19.py",
        "view-shape",
        19,
        ("18", "19", ("82", "84", "85", "18×18")),
        (),
        "Relation",
        inputs=("sample=1x3x80x80", "query=1x3x80x80"),
    ),
    Question(
        "22_linear_on_maps.py",
        "layer-shape",
        15,
        ("64", "31", "permute(0, 2, 3, 1)"),
        ("in_features=31", "Linear(31", "31 instead of 64"),
        "Deform",
        inputs=("2x3x31x31",),
    ),
    # 6 heads do not divide 512; 4 or 8 do.
    Question(
        "23_six_heads_512.py",
        "view-shape",
        15,
        ("6", "512", ("heads=4", "heads=8", "8 heads", "4 heads", "4 or 8", "4 and 8 do")),
        ("86 instead of 85",),
        "Attention",
        ("dim=512",),
        ("1x64x512",),
    ),
    # The input is (batch, steps, features), the layer takes the steps first.
    Question(
        "24_state_of_a_bilstm.py",
        "layer-shape",
        17,
        ("batch_first=True",),
        ("10 instead of 4", "zeros(4, 10, 100)"),
        "Tagger",
        inputs=("4x10x300",),
    ),
    # The dates must cover 96 + 24 steps: marks of 120.
    Question(
        "25_series_and_marks.py",
        "add-shape",
        18,
        ("120", "72", "marks"),
        ("project the shortcut",),
        "Forecast",
        inputs=("x=1x96x7", "marks=1x72x4"),
    ),
    # The mask is for 30 + 18 places; with 441 of the video there are 471: max_video=441.
    Question(
        "26_caption_mask.py",
        "add-shape",
        18,
        ("471", "48", ("441", "max_video")),
        ("project the shortcut",),
        "Captions",
        inputs=("words=int64:1x30:0..50", "video=1x441x32"),
    ),
    # Four halvings that round up give 4×4 of 50, the bias is for 50 // 16 = 3×3: images of 48.
    Question(
        "27_relative_bias_50.py",
        "add-shape",
        27,
        ("16", "9", "4×4", "3×3", ("48", "64")),
        (),
        "Coat",
        inputs=("1x3x50x50",),
    ),
    # (32) beside (32, 1) is a loss over all pairs.
    Question(
        "28_regression_loss.py",
        "silent-broadcast",
        15,
        ("32×32", ("squeeze", "unsqueeze", "(32, 1)")),
        (),
        "Regression",
        inputs=("x=32x16", "labels=32x1"),
    ),
    # The 8 in the product is the batch: x.view(x.size(0), -1), and a head of 14400.
    Question(
        "29_batch_in_a_view.py",
        "view-shape",
        15,
        (("14400", "14,400"), ("size(0)", "flatten(1)", "shape[0]", "batch")),
        ("72000 instead", "72,000 instead"),
        "Cells",
        inputs=("5x4x1x32x32",),
    ),
    # The attention is for 60×60 places, an image of 480×480; this one has 50×80.
    Question(
        "30_psa_of_480.py",
        "product-shape",
        18,
        (("4000", "4,000"), ("3600", "3,600"), "50×80", ("60×60", "480×480", "places=4000")),
        (),
        "Psa",
        inputs=("1x3x400x640",),
    ),
    # 64 pixels leave three rows; from 32 to 47 they leave one.
    Question(
        "31_text_of_height_64.py",
        "forward",
        21,
        ("one row of features", ("32", "47"), "3"),
        (),
        "Reader",
        inputs=("1x1x64x128",),
    ),
    # A padding mask is tgt_key_padding_mask; tgt_mask is (9, 9).
    Question(
        "32_padding_as_causal.py",
        "product-shape",
        14,
        ("tgt_key_padding_mask", ("9×9", "(9, 9)")),
        (),
        "Decoder",
        inputs=("words=4x9x8", "memory=4x7x8", "mask=bool:4x9"),
    ),
    # The state is for batches of 64: one of the input's own batch, (2, 4, 16), or drop the last batch.
    Question(
        "33_last_batch_of_4.py",
        "layer-shape",
        16,
        ("64", "(2, 4, 16)"),
        (),
        "Sentiment",
        inputs=("int64:4x20:0..100",),
    ),
    # Three halvings that are brought back: multiples of 8, here 16 or 24 slices.
    Question(
        "34_volume_of_18_slices.py",
        "add-shape",
        20,
        ("16", "24", "deep"),
        ("project",),
        "Volume",
        inputs=("1x4x18x64x64",),
    ),
    # 512×16×16 against 512×7×7: faces of 112×112.
    Question(
        "35_face_of_256.py",
        "layer-shape",
        18,
        ("512×16×16", "512×7×7", "112"),
        (),
        "Face",
        inputs=("1x3x256x256",),
    ),
    # The height is 960, the model is for 384.
    Question(
        "36_count_in_960.py",
        "forward",
        15,
        ("the image does not match", "960", "384"),
        (),
        "Counter",
        inputs=("1x3x960x384",),
    ),
    # The sequences stand lengths first, and the attention reads the batch first: no permute, or batch_first=False.
    Question(
        "37_text_mask_of_77.py",
        "forward",
        16,
        ("77", "25", ("batch_first=False", "permute")),
        (),
        "Text",
        inputs=("int64:25x77:0..100",),
    ),
    # A mask of three dimensions is (batch × heads, queries, keys): (12, 10, 10).
    Question(
        "38_mask_of_each_example.py",
        "product-shape",
        12,
        ("(12, 10, 10)", "(3, 10, 10)", "heads"),
        (),
        "Reader",
        inputs=("x=3x10x8", "mask=bool:3x10x10"),
    ),
    # Two prompts of one length: pad the input uncond to 154, or cut cond to 77.
    Question(
        "39_prompts_of_154.py",
        "concat-shape",
        13,
        ("77", "154", "input uncond", "input cond"),
        (),
        "Guided",
        inputs=("x=1x16x8", "uncond=1x77x8", "cond=1x154x8"),
    ),
    # A gray image: repeat it to three channels, or a first layer of one.
    Question(
        "40_gray_image.py",
        "layer-shape",
        13,
        ("3", "1", ("in_channels=1", "Conv2d(1, 64", "repeat")),
        (),
        "Net",
        inputs=("1x1x100x100",),
    ),
    # The features are of another extractor: feature_dim=2048.
    Question(
        "41_features_of_resnet.py",
        "layer-shape",
        14,
        ("4096", "2048", "feature_dim=2048"),
        (),
        "Anomaly",
        ("feature_dim=4096",),
        ("60x32x2048",),
    ),
    # 10×7×7 = 490: hidden_units * 7 * 7.
    Question(
        "42_hidden_units_10.py",
        "layer-shape",
        16,
        (("490", "10×7×7"), ("in_features=490", "7 * 7", "hidden_units * 49")),
        (),
        "TinyVgg",
        inputs=("32x1x28x28",),
    ),
]
