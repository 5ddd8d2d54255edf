"""Let `import torchvision` work beside a CPU build of torch.

The torchvision wheel on PyPI is built for CUDA. Beside a CPU torch its compiled library cannot
load, and `import torchvision` then dies with "operator torchvision::nms does not exist"
(pytorch/vision issue 9085). Declaring the two operator schemas it looks up is enough for the
models, data sets and transforms; only the detection operators themselves stay unavailable.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import torch

_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_declared: list[torch.library.Library] = []  # a Library undeclares itself when it is collected


def compiled_library_loads() -> bool:
    """Load torchvision's compiled operators if they fit this torch; True where they do."""
    spec = importlib.util.find_spec("torchvision")
    if spec is None or not spec.submodule_search_locations:
        return False
    for library in Path(spec.submodule_search_locations[0]).glob("_C*"):
        try:
            torch.ops.load_library(str(library))
            return True
        except (ImportError, OSError):
            continue
    return False


def declare_missing_operators() -> bool:
    """Declare the schemas of `nms` and `qnms` where nothing else has; True if it did."""
    if _declared or "torchvision" in sys.modules or compiled_library_loads():
        return False
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        library.define(name + _SCHEMA)
    _declared.append(library)
    return True
