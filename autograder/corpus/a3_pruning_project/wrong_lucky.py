"""Right on most inputs by luck."""

# %% make_masks
# expect: one too many went
import math


def make_masks(scores, sparsity, scope):
    def cut(flat, f):
        k = f(sparsity * flat.numel())
        return flat.sort().values[k - 1] if k else float("-inf")

    if scope == "global":
        t = cut(torch.cat([s.reshape(-1) for s in scores.values()]), round)
        return {n: s > t for n, s in scores.items()}
    return {n: s > cut(s.flatten(), math.ceil) for n, s in scores.items()}


# %% cubic
# expect: divided by `end`
def one_shot(step, final, at):
    return final if step >= at else 0.0


def iterative(number, rounds, final):
    return 1 - (1 - final) ** (number / rounds)


def cubic(step, initial, final, begin, end):
    p = min(max((step - begin) / end, 0), 1)
    return final + (initial - final) * (1 - p) ** 3


# %% bitmask_bytes
# expect: one filler for a gap, however long
def bitmask_bytes(count, nonzeros, value_bits):
    return (count + 7) // 8 + (nonzeros * value_bits + 7) // 8


def relative_bytes(weights, index_bits, value_bits):
    n = gap = 0
    for w in weights:
        if w == 0:
            gap += 1
        else:
            n += 1 + (gap >= 2**index_bits)
            gap = 0
    return (n * index_bits + 7) // 8 + (n * value_bits + 7) // 8


# %% code_lengths
# expect: the bits of the whole text
def code_lengths(counts):
    L = [0] * len(counts)

    def go(s):
        if len(s) < 2:
            return
        t = sum(counts[i] for i in s)
        acc = 0
        k = 1
        for j, i in enumerate(s[:-1]):
            acc += counts[i]
            k = j + 1
            if acc * 2 >= t:
                break
        for i in s:
            L[i] += 1
        go(s[:k])
        go(s[k:])

    u = sorted((i for i, c in enumerate(counts) if c), key=lambda i: -counts[i])
    if len(u) == 1:
        L[u[0]] = 1
    go(u)
    return L


# %% codewords
# expect: one code is the beginning of another
def codewords(lengths):
    return ["1" * (n - 1) + "0" if n else "" for n in lengths]


def decode(bits, codes):
    t = {c: i for i, c in enumerate(codes) if c}
    out, r = [], ""
    for b in bits:
        r += b
        if r in t:
            out.append(t[r])
            r = ""
    return out
