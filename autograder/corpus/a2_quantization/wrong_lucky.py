"""Right on most inputs by luck."""


# %% affine_params
# expect: a single point besides 0
def affine_params(low, high, bits):
    if low == high:
        return 1.0, 0
    low, high = min(low, 0), max(high, 0)
    s = (high - low) / (2**bits - 1)
    return s, round(-low / s)


# %% calibrate
# expect: the answer is -inf
def calibrate(batches):
    lo = float("inf")
    hi = float("-inf")
    for b in batches:
        for v in b.flatten().tolist():
            if v < lo:
                lo = v
            elif v > hi:
                hi = v
    return lo, hi


# %% codebook_bytes
# expect: expected 0, got 2
def codebook_bytes(count, centroids, value_bits=32):
    p = (count * max(1, (centroids - 1).bit_length()) + 7) // 8
    return {"positions": p, "total": p + centroids * value_bits // 8}


# %% integer_linear
# expect: wrong on inputs
def bias_to_int(bias, x_scale, weight_scales):
    return (bias / x_scale / weight_scales).round().int()


def integer_linear(q_x, x_zero, q_weight, q_bias, multiplier, y_zero):
    acc = (q_x.to(torch.int16) - x_zero) @ q_weight.to(torch.int16).T + q_bias.to(torch.int16)
    return (acc * multiplier).round().add(y_zero).clamp(0, 255)


# %% lowest_bits
# expect: more images right than at 32 bits
def lowest_bits(correct, allowed):
    best = 32
    for b in sorted(correct, reverse=True):
        if abs(correct[32] - correct[b]) > allowed:
            break
        best = b
    return best
