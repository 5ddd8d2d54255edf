"""The networks of the MNIST experiments: two LeNets and plain fully connected networks.

Sources: LeCun et al. 1998; Han et al. 2016 (Deep Compression); Hinton et al. 2015.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from course_lib._validate import check_fraction, check_int, check_shape


def lenet_300_100(num_classes: int = 10) -> nn.Sequential:
    """LeNet-300-100, two hidden layers: [N, 1, 28, 28] -> logits [N, num_classes].

    266,610 parameters and 266,200 MACs for ten classes (LeCun et al. 1998; Deep Compression,
    Table 2).
    """
    return mlp((300, 100), num_classes)


def lenet_5(num_classes: int = 10) -> nn.Sequential:
    """LeNet-5 as Caffe defines it: [N, 1, 28, 28] -> logits [N, num_classes].

    431,080 parameters and 2,293,000 MACs for ten classes (Deep Compression, Table 3). As in
    Caffe, only fc1 is followed by a ReLU: the convolutions get their nonlinearity from the
    maximum in the pooling.

    >>> import torch
    >>> lenet_5()(torch.zeros(2, 1, 28, 28)).shape
    torch.Size([2, 10])
    """
    check_int("num_classes", num_classes)
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(1, 20, kernel_size=5),  # [N, 1, 28, 28] -> [N, 20, 24, 24]
            pool1=nn.MaxPool2d(2),  # -> [N, 20, 12, 12]
            conv2=nn.Conv2d(20, 50, kernel_size=5),  # -> [N, 50, 8, 8]
            pool2=nn.MaxPool2d(2),  # -> [N, 50, 4, 4]
            flatten=nn.Flatten(),  # -> [N, 800]
            fc1=nn.Linear(800, 500),  # -> [N, 500]
            relu1=nn.ReLU(),
            fc2=nn.Linear(500, num_classes),  # -> [N, num_classes]
        )
    )


def mlp(
    hidden: Sequence[int] = (1200, 1200),
    num_classes: int = 10,
    in_features: int = 784,
    dropout: float = 0.0,
) -> nn.Sequential:
    """Fully connected network: [N, ...] with in_features values each -> logits [N, num_classes].

    One Linear and ReLU per entry of `hidden`, each followed by dropout if that is above 0; an
    empty `hidden` gives a linear classifier. The default is the teacher of Hinton et al. 2015.
    """
    sizes = (check_int("in_features", in_features), *check_shape("hidden", hidden))
    check_fraction("dropout", dropout)
    layers: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
    for i, (fan_in, fan_out) in enumerate(pairwise(sizes), start=1):
        layers[f"fc{i}"] = nn.Linear(fan_in, fan_out)
        layers[f"relu{i}"] = nn.ReLU()
        if dropout > 0:
            layers[f"dropout{i}"] = nn.Dropout(dropout)
    layers[f"fc{len(sizes)}"] = nn.Linear(sizes[-1], check_int("num_classes", num_classes))
    return nn.Sequential(layers)
