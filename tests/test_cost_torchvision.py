"""`count` reproduces the costs that torchvision publishes, for every classification model it has.

torchvision publishes parameters exactly, and `_ops` in units of 10^9 multiply-adds rounded to
three decimals: so the difference must stay within that rounding, 0.0005.
"""

from __future__ import annotations

import warnings

import pytest

import course_lib  # noqa: F401  (declares what torchvision misses beside a CPU build of torch)
from course_lib.cost import ModelCost, UncountedWarning, count

models = pytest.importorskip("torchvision").models

# The published GoogLeNet and Inception columns differ in what they do with the auxiliary
# classifiers, which run in training only: GoogLeNet's weights drop them, Inception's keep them.
BUILD = {
    "googlenet": {"aux_logits": False, "init_weights": False},
    "inception_v3": {"aux_logits": True, "init_weights": False},
}
CLASSIFIERS = models.list_models(module=models)


def cost_of(name: str, size: int) -> ModelCost:
    options = dict(BUILD.get(name, {}))
    if name.startswith("vit"):
        options["image_size"] = size
    return count(lambda: models.get_model(name, weights=None, **options), (1, 3, size, size))


def test_every_classification_model_of_torchvision_is_covered():
    assert len(CLASSIFIERS) == 80


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_count_reproduces_the_published_columns_of(name):
    published = {}
    for entry in models.get_model_weights(name):
        meta, (size,) = entry.meta, entry.transforms().crop_size
        published.setdefault(size, set()).add((meta["num_params"], meta["_ops"]))
    for size, columns in published.items():
        with warnings.catch_warnings():
            warnings.simplefilter("error", UncountedWarning)
            cost = cost_of(name, size)
        for params, giga_macs in columns:
            assert cost.params == params
            assert abs(cost.macs / 1e9 - giga_macs) <= 0.0005 + 1e-9


def test_auxiliary_classifiers_are_parameters_that_inference_never_uses():
    inception = cost_of("inception_v3", 299)
    assert {name.split(".")[0] for name in inception.unused} == {"AuxLogits"}
    aux = [layer for layer in inception.layers if layer.name.startswith("AuxLogits")]
    assert sum(layer.macs for layer in aux) == 0
    assert all(layer.calls == 0 and layer.output_shape is None for layer in aux)
    # 27.16 million published, about 24 million without them: the figure papers quote
    assert inception.params - sum(layer.params for layer in aux) == 23_834_568


def test_counting_the_largest_model_never_allocates_its_weights():
    """2.6 GB of weights; the process grows by less than a twentieth of that."""
    resource = pytest.importorskip("resource")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert cost_of("regnet_y_128gf", 224).weight_bytes == 4 * 644_812_894
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown * 1024 < 4 * 644_812_894 / 20
