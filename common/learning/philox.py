"""Random numbers of a population, drawn for all members at once: Philox4x32-10 (Salmon et al.,
"Parallel random numbers: as easy as 1, 2, 3", 2011).

A number is a function of its member's key (from seed and purpose), of the number of the draw and of
its place within it. So a member draws the same whatever it is batched with, on every device, and a
checkpoint holds one whole number. Words and uniform numbers are equal to the bit on all devices;
normal numbers up to the rounding of logarithm and cosine.

As in common.learning.kernels there is a CPU form, philox.c, and a plain torch form; tests hold both
together. What is drawn once, initial weights, or belongs to simulators, which run on the CPU, comes
from torch's generators (`population.generators`).

Axes: M members, then whatever is asked for.
"""

import ctypes
import hashlib
import math
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from common.learning.kernels import compiled, longs

SOURCE = Path(__file__).with_name("philox.c")
MASK = 0xFFFFFFFF
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)  # added to the key after every round
ROUNDS = 10


def key(seed: int, purpose: str) -> tuple[int, int]:
    """Two words of 32 bits for the numbers that a member draws for one purpose."""
    digest = hashlib.sha256(f"{seed}/{purpose}".encode()).digest()
    return int.from_bytes(digest[:4], "little"), int.from_bytes(digest[4:8], "little")


def words_reference(keys: Tensor, draw: int, count: int, rows: int = 1) -> Tensor:
    """[M, rows * count] words in [0, 2^32) as int64: plain torch form of the generator.

    Args:
        keys: [M, 2], int64 in [0, 2^32).
        draw: number of the draw, the upper two words of the counter; below it are the row and the
            number of a block of four words.
        count: words of a row.
    """
    blocks = torch.arange(-(-count // 4), device=keys.device)
    a = blocks.expand(len(keys), rows, -1)
    b = torch.arange(rows, device=keys.device).unsqueeze(1).expand_as(a)
    c = torch.full_like(a, draw & MASK)
    d = torch.full_like(a, draw >> 32)
    key0 = keys[:, 0].view(-1, 1, 1)
    key1 = keys[:, 1].view(-1, 1, 1)
    for _ in range(ROUNDS):
        # products wrap around at 64 bits, which leaves their upper and lower words right
        left = a * MULTIPLIERS[0]
        right = c * MULTIPLIERS[1]
        a = ((right >> 32) & MASK) ^ b ^ key0
        c = ((left >> 32) & MASK) ^ d ^ key1
        b = right & MASK
        d = left & MASK
        key0 = (key0 + WEYL[0]) & MASK
        key1 = (key1 + WEYL[1]) & MASK
    return torch.stack([a, b, c, d], dim=-1).flatten(2)[..., :count].flatten(1)


def uniform_reference(keys: Tensor, draw: int, count: int) -> Tensor:
    """[M, count] in [0, 1): the upper 24 bits of every word."""
    return (words_reference(keys, draw, count) >> 8).float() * 2.0**-24


def normal_reference(keys: Tensor, draw: int, count: int) -> Tensor:
    """[M, count] standard normal numbers by Box and Muller's method, two from two words."""
    pairs = (words_reference(keys, draw, count + count % 2) >> 8).unflatten(1, (-1, 2))
    radius = (-2 * ((pairs[..., 0] + 1).double() * 2.0**-24).log()).sqrt()
    # a quarter turn begins half of it before its axis, see philox.c
    angle = ((pairs[..., 1].double() + 0.5) * 2.0**-24 - 0.125) * 2 * math.pi
    both = torch.stack([radius * angle.cos(), radius * angle.sin()], dim=-1)
    return both.flatten(1)[:, :count].float()


def distinct_reference(keys: Tensor, draw: int, sizes: Tensor, rows: int, count: int) -> Tensor:
    """[M, rows, count] the first distinct values in each row of words.

    Args:
        sizes: [M], int64, none below `count`; a word w stands for floor(w size / 2^32).
    """
    length = count + 16 + 2 * count * count // int(sizes.min())  # all but surely enough
    while True:
        words = words_reference(keys, draw, length, rows).unflatten(1, (rows, length))
        drawn = (words * sizes.view(-1, 1, 1)) >> 32
        ordered, order = drawn.sort(dim=-1, stable=True)
        again = torch.zeros_like(ordered, dtype=torch.bool)
        again[..., 1:] = ordered[..., 1:] == ordered[..., :-1]
        repeated = torch.zeros_like(again).scatter_(-1, order, again)
        if int((~repeated).sum(-1).min()) >= count:
            break
        length *= 4
    first = repeated.long().argsort(dim=-1, stable=True)[..., :count]  # in the order of drawing
    return drawn.gather(-1, first)


class Streams:
    """The random numbers of a population for one purpose ("minibatches", "noise"...).

    Every call is a draw of its own, the same for all members; each takes its numbers from its key.

    Args:
        seeds: one per member.
        device: where the numbers are wanted.
    """

    def __init__(self, seeds: Sequence[int], purpose: str, device="cpu"):
        words = [key(seed, purpose) for seed in seeds]
        self.keys = torch.tensor(words, dtype=torch.int64, device=device).view(-1, 2)
        self.packed = self.keys.to(
            torch.int32
        ).contiguous()  # the same bits, as philox.c reads them
        self.device = torch.device(device)
        self.drawn = 0

    def __len__(self) -> int:
        return len(self.keys)

    def state_dict(self) -> dict:
        return {"drawn": self.drawn}

    def load_state_dict(self, state: dict) -> None:
        self.drawn = state["drawn"]

    def restart(self) -> None:
        """The next draw is the first one again."""
        self.drawn = 0

    def _draw(self) -> int:
        self.drawn += 1
        return self.drawn - 1

    def _library(self) -> ctypes.CDLL | None:
        return compiled(SOURCE) if self.device.type == "cpu" else None

    def _fill(self, name: str, reference, shape: Sequence[int], kind: torch.dtype) -> Tensor:
        """[M, *shape] numbers of one function of philox.c, or of its torch form."""
        count = math.prod(shape)
        draw = self._draw()
        library = self._library()
        if library is None:
            return reference(self.keys, draw, count).view(-1, *shape)
        out = torch.empty(len(self), *shape, dtype=kind)
        getattr(library, name)(
            ctypes.c_long(len(self)),
            ctypes.c_void_p(self.packed.data_ptr()),
            ctypes.c_uint64(draw),
            ctypes.c_long(count),
            ctypes.c_void_p(out.data_ptr()),
        )
        return out

    def words(self, shape: Sequence[int]) -> Tensor:
        """[M, *shape] whole numbers in [0, 2^32), int64."""
        return self._fill("philox_words", words_reference, shape, torch.int32).long() & MASK

    def uniform(self, shape: Sequence[int], low: float = 0.0, high: float = 1.0) -> Tensor:
        """[M, *shape] float32 in [low, high)."""
        numbers = self._fill("philox_uniform", uniform_reference, shape, torch.float32)
        return numbers if (low, high) == (0.0, 1.0) else numbers.mul_(high - low).add_(low)

    def normal(self, shape: Sequence[int]) -> Tensor:
        """[M, *shape] standard normal numbers, float32."""
        return self._fill("philox_normal", normal_reference, shape, torch.float32)

    def exponential(self, shape: Sequence[int]) -> Tensor:
        """[M, *shape] exponential numbers of mean 1, float32, above 0."""
        return -self.uniform(shape).clamp_min(2.0**-25).log()

    def gumbel(self, shape: Sequence[int]) -> Tensor:
        """[M, *shape] standard Gumbel numbers, float32."""
        return -self.exponential(shape).log()

    def integers(self, high: int | Sequence[int], shape: Sequence[int]) -> Tensor:
        """[M, *shape] whole numbers in [0, high), int64.

        Args:
            high: of all members, or one each; at most 2^31. No number is more likely than another
                by more than 2^-32.
        """
        highs = torch.as_tensor(high, device=self.device).view(-1, *[1] * len(shape))
        return (self.words(shape) * highs) >> 32

    def permutation(self, count: int) -> Tensor:
        """[M, count] the numbers 0 to count - 1 in random order."""
        words = self.words((2, count))
        return ((words[:, 0] << 31) + (words[:, 1] >> 1)).argsort(dim=-1, stable=True)

    def distinct(self, high: int | Sequence[int], rows: int, count: int) -> Tensor:
        """[M, rows, count] numbers in [0, high), drawn without replacement within each row.

        Raises:
            ValueError: a row is to hold more numbers than there are.
        """
        sizes = torch.as_tensor(high, device=self.device).expand(len(self)).contiguous()
        fewest = int(sizes.min())
        if count > fewest:
            raise ValueError(f"{count} distinct numbers were asked for, but there are {fewest}")
        draw = self._draw()
        library = self._library()
        if library is None:
            return distinct_reference(self.keys, draw, sizes, rows, count)
        out = torch.empty(len(self), rows, count, dtype=torch.int64)
        failed = library.philox_distinct(
            ctypes.c_long(len(self)),
            ctypes.c_void_p(self.packed.data_ptr()),
            ctypes.c_uint64(draw),
            ctypes.c_void_p(sizes.data_ptr()),
            *longs(rows, count),
            ctypes.c_void_p(out.data_ptr()),
        )
        if failed:
            raise MemoryError(f"no memory for {count} distinct numbers")
        return out
