"""Peak activation memory by liveness: when is each tensor made, and when is it last needed?

An executor that frees every tensor after its last use needs, at each operation, that operation's
inputs and outputs and whatever later operations still wait for. Views and in-place results share
their storage and cost nothing more. For a plain chain of layers the peak is the largest input +
output; a skip connection keeps one more tensor alive across its block.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import accumulate

import torch
from torch import Tensor


def storages(tensors: Iterable[Tensor]) -> dict[int, torch.UntypedStorage]:
    """The storages behind `tensors` by identity; two views of one storage give one entry."""
    found = (tensor.untyped_storage() for tensor in tensors)
    return {storage._cdata: storage for storage in found}


class Liveness:
    """Records a run, operation by operation, and answers with its peak memory.

    Storages that exist before the run and are no input (weights, buffers, constants) are not
    counted, nor are results that nothing reads, such as the indices of a max pooling.
    """

    def __init__(self, inputs: Iterable[Tensor]) -> None:
        self._now = 0
        self._storages = storages(inputs)  # held, so that an identity is never given out twice
        self._born = dict.fromkeys(self._storages, 0)
        self._last_read = dict.fromkeys(self._storages, 0)

    def step(self, inputs: Iterable[Tensor], outputs: Iterable[Tensor]) -> None:
        """Record one operation."""
        self._now += 1
        read, written = storages(inputs), storages(outputs)
        for key, storage in written.items():
            if key not in self._born and key not in read:
                self._storages[key] = storage
                self._born[key] = self._now
        self._touch(read)

    def peak_bytes(self, results: Iterable[Tensor]) -> int:
        """End the run, whose `results` stay alive to the end, and return the peak in bytes."""
        self._now += 1
        self._touch(storages(results))
        change = [0] * (self._now + 2)
        for key, last_read in self._last_read.items():
            size = self._storages[key].nbytes()
            change[self._born[key]] += size
            change[last_read + 1] -= size
        return max(accumulate(change))

    def _touch(self, keys: Iterable[int]) -> None:
        for key in keys:
            if key in self._born:
                self._last_read[key] = self._now
