"""Codes: from symbols to bits to one file that holds a compressed model.

The last stage of Deep Compression (Han et al., ICLR 2016): after pruning and weight sharing a
layer is a list of small integers. Entropy bounds what they can weigh, a Huffman code comes within
a bit of it, and `save` writes the result to a file whose size is the claim. Weights that were
never compressed stay ordinary safetensors entries; nothing here unpickles anything.
"""

from course_lib.codec.container import CorruptFileError
from course_lib.codec.entropy import entropy, kraft_sum, mean_length
from course_lib.codec.fileformat import (
    FileSize,
    TensorSize,
    from_bytes,
    inspect,
    load,
    load_state,
    save,
    to_bytes,
)
from course_lib.codec.huffman import (
    canonical_codes,
    code_lengths,
    huffman_decode,
    huffman_encode,
)
from course_lib.codec.packing import gaps_to_positions, pack, positions_to_gaps, unpack
from course_lib.codec.tensors import DEEP_COMPRESSION, TECHNIQUES

__all__ = [
    "DEEP_COMPRESSION",
    "TECHNIQUES",
    "CorruptFileError",
    "FileSize",
    "TensorSize",
    "canonical_codes",
    "code_lengths",
    "entropy",
    "from_bytes",
    "gaps_to_positions",
    "huffman_decode",
    "huffman_encode",
    "inspect",
    "kraft_sum",
    "load",
    "load_state",
    "mean_length",
    "pack",
    "positions_to_gaps",
    "save",
    "to_bytes",
    "unpack",
]
