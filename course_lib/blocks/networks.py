"""Networks of inverted residuals: MobileNet V2 and V3, and EfficientNet B0 to B7.

They differ in their tables, which stand at the end: found by hand (V2), by search and by hand
(V3), by search and then scaled (EfficientNet). Parameters come in the order of torchvision's.
Papers: Sandler et al. 2018 (Table 2); Howard et al. 2019 (1, 2); Tan and Le 2019 (1).
"""

from __future__ import annotations

from torch import nn

from course_lib._validate import check_choice, check_int
from course_lib.blocks.conv import conv_norm, network
from course_lib.blocks.inverted_residual import InvertedResidual
from course_lib.blocks.scaling import Scaling, scale_depth, scale_width
from course_lib.blocks.squeeze_excite import SqueezeExcite
from course_lib.models import round_channels


def mobilenet_v2(
    width: float = 1.0, num_classes: int = 1000, in_channels: int = 3
) -> nn.Sequential:
    """MobileNet V2: [N, in_channels, H, W] -> logits [N, num_classes], any H and W.

    `width` multiplies all channel counts but the last, 1280, which it only enlarges. 3,504,872
    parameters and 0.30 G MACs at 224 x 224 by default (Sandler et al. 2018, Table 4).
    """
    check_int("in_channels", in_channels)
    check_int("num_classes", num_classes)
    first = before = scale_width(32, width)
    blocks = []
    for expansion, channels, layers, stride in _V2:
        after = scale_width(channels, width)
        for i in range(layers):
            blocks.append(
                InvertedResidual(before, expansion * before, after, stride if i == 0 else 1)
            )
            before = after
    last = scale_width(1280, max(1.0, width))
    return network(
        stem=conv_norm(in_channels, first, 3, 2, activation=nn.ReLU6),  # -> [N, 32, 112, 112]
        blocks=nn.Sequential(*blocks),  # -> [N, 320, 7, 7]
        head=conv_norm(before, last, activation=nn.ReLU6),  # -> [N, 1280, 7, 7]
        pool=nn.AdaptiveAvgPool2d(1),  # -> [N, 1280, 1, 1]
        flatten=nn.Flatten(),
        dropout=nn.Dropout(0.2),
        classifier=nn.Linear(last, num_classes),
    )


def mobilenet_v3(
    size: str = "large", width: float = 1.0, num_classes: int = 1000, in_channels: int = 3
) -> nn.Sequential:
    """MobileNet V3: [N, in_channels, H, W] -> logits [N, num_classes], any H and W.

    `size` is "large" (5,483,032 parameters, 0.217 G MACs at 224 x 224) or "small" (2,542,856 and
    0.057 G; both as torchvision has them). `width` multiplies all channel counts. ValueError
    for another size.
    """
    table, last = _V3[check_choice("size", size, _V3)]
    check_int("in_channels", in_channels)
    check_int("num_classes", num_classes)
    first = before = scale_width(16, width)
    blocks = []
    for kernel_size, expanded, channels, squeezes, activation, stride in table:
        wide, after = scale_width(expanded, width), scale_width(channels, width)
        gate = SqueezeExcite(wide, round_channels(wide // 4), gate=nn.Hardsigmoid)
        blocks.append(
            InvertedResidual(
                *(before, wide, after, stride),
                kernel_size=kernel_size,
                activation=activation,
                squeeze_excite=gate if squeezes else None,
            )
        )
        before = after
    hidden = scale_width(last, width)
    model = network(
        stem=conv_norm(in_channels, first, 3, 2, activation=nn.Hardswish),  # -> [N, 16, 112, 112]
        blocks=nn.Sequential(*blocks),  # -> [N, 160, 7, 7]
        head=conv_norm(before, 6 * before, activation=nn.Hardswish),  # -> [N, 960, 7, 7]
        pool=nn.AdaptiveAvgPool2d(1),  # -> [N, 960, 1, 1]
        flatten=nn.Flatten(),
        hidden=nn.Linear(6 * before, hidden),  # after pooling, where it costs 1 / 49
        hidden_activation=nn.Hardswish(),
        dropout=nn.Dropout(0.2),
        classifier=nn.Linear(hidden, num_classes),
    )
    return _with_tensorflow_norm(model)


def efficientnet(
    variant: str | Scaling = "b0", num_classes: int = 1000, in_channels: int = 3
) -> nn.Sequential:
    """EfficientNet: [N, in_channels, H, W] -> logits [N, num_classes], any H and W.

    `variant` is "b0" to "b7" (5,288,548 to 66,347,960 parameters; Tan and Le 2019, Table 2), or a
    Scaling of B0 by other factors, whose depth and width are used; resize the images to
    `scale_resolution(224, scaling.resolution)` yourself. `EFFICIENTNETS` has the published
    scalings. There is no stochastic depth, a regularizer of the paper's training. ValueError
    for another name.
    """
    if not isinstance(variant, Scaling):
        check_choice("variant", variant, EFFICIENTNETS)
    scaling = variant if isinstance(variant, Scaling) else EFFICIENTNETS[variant]
    check_int("in_channels", in_channels)
    check_int("num_classes", num_classes)
    first = before = scale_width(32, scaling.width)
    blocks = []
    for expansion, channels, layers, stride, kernel_size in _B0:
        after = scale_width(channels, scaling.width)
        for i in range(scale_depth(layers, scaling.depth)):
            s = stride if i == 0 else 1
            blocks.append(_mbconv(before, expansion, after, s, kernel_size))
            before = after
    model = network(
        stem=conv_norm(in_channels, first, 3, 2, activation=nn.SiLU),  # B0: -> [N, 32, 112, 112]
        blocks=nn.Sequential(*blocks),  # -> [N, 320, 7, 7]
        head=conv_norm(before, 4 * before, activation=nn.SiLU),  # -> [N, 1280, 7, 7]
        pool=nn.AdaptiveAvgPool2d(1),  # -> [N, 1280, 1, 1]
        flatten=nn.Flatten(),
        dropout=nn.Dropout(_DROPOUT.get(str(variant), 0.2)),
        classifier=nn.Linear(4 * before, num_classes),
    )
    return _with_tensorflow_norm(model) if variant in ("b5", "b6", "b7") else model


def _mbconv(
    in_channels: int, expansion: int, out_channels: int, stride: int, kernel_size: int
) -> InvertedResidual:
    """Inverted residual as EfficientNet has it: SiLU, and a squeeze to a quarter of the input."""
    wide = expansion * in_channels
    gate = SqueezeExcite(wide, max(1, in_channels // 4), activation=nn.SiLU)
    return InvertedResidual(
        *(in_channels, wide, out_channels, stride),
        kernel_size=kernel_size,
        activation=nn.SiLU,
        squeeze_excite=gate,
    )


def _with_tensorflow_norm(model: nn.Sequential) -> nn.Sequential:
    """Give every batch norm the authors' constants; torchvision does so for just these models."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps, module.momentum = 1e-3, 1e-2
    return model


# expansion, channels, layers, stride of the first layer
_V2 = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)

# kernel size, expanded channels, channels, squeeze-excite, activation, stride; then hidden units
_V3 = {
    "large": (
        (
            (3, 16, 16, False, nn.ReLU, 1),
            (3, 64, 24, False, nn.ReLU, 2),
            (3, 72, 24, False, nn.ReLU, 1),
            (5, 72, 40, True, nn.ReLU, 2),
            (5, 120, 40, True, nn.ReLU, 1),
            (5, 120, 40, True, nn.ReLU, 1),
            (3, 240, 80, False, nn.Hardswish, 2),
            (3, 200, 80, False, nn.Hardswish, 1),
            (3, 184, 80, False, nn.Hardswish, 1),
            (3, 184, 80, False, nn.Hardswish, 1),
            (3, 480, 112, True, nn.Hardswish, 1),
            (3, 672, 112, True, nn.Hardswish, 1),
            (5, 672, 160, True, nn.Hardswish, 2),
            (5, 960, 160, True, nn.Hardswish, 1),
            (5, 960, 160, True, nn.Hardswish, 1),
        ),
        1280,
    ),
    "small": (
        (
            (3, 16, 16, True, nn.ReLU, 2),
            (3, 72, 24, False, nn.ReLU, 2),
            (3, 88, 24, False, nn.ReLU, 1),
            (5, 96, 40, True, nn.Hardswish, 2),
            (5, 240, 40, True, nn.Hardswish, 1),
            (5, 240, 40, True, nn.Hardswish, 1),
            (5, 120, 48, True, nn.Hardswish, 1),
            (5, 144, 48, True, nn.Hardswish, 1),
            (5, 288, 96, True, nn.Hardswish, 2),
            (5, 576, 96, True, nn.Hardswish, 1),
            (5, 576, 96, True, nn.Hardswish, 1),
        ),
        1024,
    ),
}

# expansion, channels, layers, stride of the first layer, kernel size
_B0 = (
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)

# As the authors' code has them: near the compound rule, with resolutions that suit the strides.
EFFICIENTNETS = {
    "b0": Scaling(depth=1.0, width=1.0, resolution=224 / 224),
    "b1": Scaling(depth=1.1, width=1.0, resolution=240 / 224),
    "b2": Scaling(depth=1.2, width=1.1, resolution=260 / 224),
    "b3": Scaling(depth=1.4, width=1.2, resolution=300 / 224),
    "b4": Scaling(depth=1.8, width=1.4, resolution=380 / 224),
    "b5": Scaling(depth=2.2, width=1.6, resolution=456 / 224),
    "b6": Scaling(depth=2.6, width=1.8, resolution=528 / 224),
    "b7": Scaling(depth=3.1, width=2.0, resolution=600 / 224),
}
_DROPOUT = {"b2": 0.3, "b3": 0.3, "b4": 0.4, "b5": 0.4, "b6": 0.5, "b7": 0.5}
