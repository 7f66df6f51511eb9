"""Expected findings for the nets of reports/, small rebuilds of public reports and of faults of earlier versions.

Each entry: rule, line, facts that an answer must contain (one of a tuple), words that would mislead.
"""

from __future__ import annotations

from tests.checks.questions.expected import Question

RESHAPE = ("in_features=13 fits", "Linear(13")
REPORTS = [
    Question(
        "r01_downsampler_odd.py",
        "concat-shape",
        15,
        ("33", "32", "multiples of 4", "64 or 68 high", "96 or 100 wide", "ceil_mode=True"),
        (),
        "Net",
        (),
        ("1x3x65x97",),
    ),
    Question(
        "r02_bot_attention.py",
        "add-shape",
        24,
        ("196 = 14×14", "4 = 2×2", "224×224", "(input-size)"),
        ("project the shortcut", "off-by-one"),
        "Net",
        (),
        ("2x3x32x32",),
    ),
    Question(
        "r04_mha_reshape.py", "view-shape", 18, ("323 = 19·17", "may follow"), RESHAPE, "Attention", (), ("3x11x13",)
    ),
    Question(
        "r05_heads_not_dividing.py",
        "view-shape",
        16,
        ("512 = 6·85 + 2", "6 must divide 512: 4 and 8 do", "may follow"),
        (),
        "Block",
        ("dim=512",),
        ("2x64x512",),
    ),
    Question(
        "r06_vgg_512.py",
        "layer-shape",
        21,
        ("an input of 224×224 fits", "pool to 7×7", "(input-size)"),
        ("off-by-one",),
        "VGG",
        (),
        ("8x3x512x512",),
    ),
    Question(
        "r09_mha_batch_first.py",
        "forward",
        13,
        ("batch_first=True", "23"),
        (),
        "Net",
        (),
        ("query=1x1x1536", "memory=1x23x1536"),
    ),
    Question("r13_se_fc2.py", "layer-shape", 16, ("in_channels=8 fits",), (), "Net", (), ("1x16x22x100",)),
    Question(
        "r14_loss_broadcast.py",
        "silent-broadcast",
        13,
        ("16×16", "squeeze(1)"),
        ("recorder.py", "UserWarning"),
        "Step",
        (),
        ("x=16x1x60", "target=16"),
    ),
    Question(
        "r15_dcgan_32.py",
        "layer-shape",
        17,
        ("at least 64 high and wide", "at most 2×2"),
        (),
        "Discriminator",
        (),
        ("8x3x32x32",),
    ),
    Question(
        "r20_inception_reduction.yaml",
        "concat-shape",
        11,
        ("ceil_mode", "leave ceil_mode out"),
        ("Conv2d(out, kernel, stride=stride, padding=1",),
    ),
    Question(
        "r21b_neck_720_autopad.yaml",
        "concat-shape",
        18,
        ("703 or 728 high", "1279 or 1304 wide"),
        ("28×28", "719×719"),
    ),
    Question(
        "r40_densenet_count.py", "layer-shape", 13, ("84", "42", "84 → 42 channels"), (), "DenseNet", (), ("1x3x32x32",)
    ),
    Question(
        "r41_pos_embed.py",
        "add-shape",
        19,
        ("65 = 8×8 + 1", "3137 = 56×56 + 1", "an input of 32×32"),
        ("(channels)",),
        "ViT",
        (),
        ("2x3x224x224",),
    ),
    Question(
        "r45_attention_interpolate.py",
        "add-shape",
        19,
        ("up gives 14×14 whatever it gets", "224 high and wide", "may follow"),
        ("project the shortcut",),
        "Stage",
        (),
        ("1x3x32x32",),
    ),
    Question(
        "r47_channels_last.py",
        "layer-shape",
        14,
        ("64 stands in C", "permute(0, 2, 3, 1)"),
        ("in_features=31",),
        "Net",
        (),
        ("1x3x62x62",),
    ),
    Question("f02_square_input.yaml", "concat-shape", 6, ("88 or 91 high", "91×160"), ("92×92",)),
    Question("f02b_no_landscape_size.yaml", "concat-shape", 7, ("719 or 724 high", "1279 or 1284 wide"), ("719×719",)),
    *(
        Question(
            "f03_main_shortcut_swapped.py",
            "residual-shape",
            line,
            ("main (1, 31, 16, 16) from conv2", "shortcut (1, 32, 16, 16) from down"),
            (),
            name,
            (),
            ("1x16x32x32",),
        )
        for name, line in (("Basic", 10), ("Basic2", 14))
    ),
    *(
        Question(
            "f04_1d_3d_lengths.py",
            "residual-shape",
            line,
            ("off-by-one", "kernel_size=3", axis),
            ("(channels)", "project"),
            name,
            (),
            (given,),
        )
        for name, line, given, axis in (
            ("Block", 8, "1x8x100", "L (101, 100)"),
            ("Block2", 14, "1x8x10x10", "H (11, 10)"),
            ("Block3", 20, "1x8x10x10x10", "D (11, 10)"),
        )
    ),
    Question(
        "f05_position_table.py",
        "add-shape",
        10,
        ("196 = 14×14", "pos", "4 = 2×2", "14×14 fits"),
        ("shortcut",),
        "Attention",
        (),
        ("1x8x2x2",),
    ),
    Question("f06_follow_on_and_python_gaps.py", "view-shape", 8, ("20", "may follow"), RESHAPE, "View", (), ("2x13",)),
    Question(
        "f06_follow_on_and_python_gaps.py",
        "layer-shape",
        14,
        ("at least 32 high", "net.1 MaxPool2d 2: 16 → 8"),
        ("kernel_size=2`",),
        "Pool",
        (),
        ("1x3x16x16",),
    ),
    Question(
        "f06_follow_on_and_python_gaps.py",
        "layer-shape",
        20,
        ("at least 12 high", "at most 4×4"),
        (),
        "Kernel",
        (),
        ("1x3x8x8",),
    ),
    Question(
        "f06_follow_on_and_python_gaps.py",
        "silent-broadcast",
        23,
        ("16×16",),
        ("UserWarning",),
        "Losses",
        (),
        ("16x1", "16"),
    ),
    Question("f06b_followon_fix.yaml", "view-shape", 7, ("512 = 6·85 + 2", "4 and 8 do", "may follow"), ()),
    Question(
        "f08_expect_preserves.yaml",
        "expect-preserves",
        16,
        ("output_padding=1 in decoder.4", "112×112 → 223×223"),
        (),
    ),
    Question("f10_loss_broadcast.yaml", "silent-broadcast", 8, ("N×N",), ("UserWarning",)),
    Question("f11_made_by_order.yaml", "layer-shape", 7, ("at least 64 high and wide", "then 3 (line 6)"), ()),
    *(
        Question(
            "f12_sizes_by_rank.py",
            "concat-shape",
            15,
            (sizes, "multiples of 4"),
            ("(channels)",),
            "Net",
            args,
            (given,),
        )
        for args, given, sizes in (
            (("nd=1",), "1x1x30", "28 or 32 long"),
            (("nd=3",), "1x1x30x30x30", "28 or 32 deep, high and wide"),
            (("shared=False",), "1x1x30x30", "28 or 32 high and wide"),
        )
    ),
]
