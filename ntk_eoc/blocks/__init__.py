"""Gram matrices too large for memory: in tiles, on disk, on several devices or machines, and regression with them."""

from ntk_eoc.blocks.conjugate import Fit, LowRank, nystroem, solve
from ntk_eoc.blocks.kernel import Kernel, block_function, one_norm
from ntk_eoc.blocks.store import Store, fill, open_store
from ntk_eoc.blocks.tiles import cross_product, product
from ntk_eoc.blocks.whole import gram_store

__all__ = [
    "Fit",
    "Kernel",
    "LowRank",
    "Store",
    "block_function",
    "cross_product",
    "fill",
    "gram_store",
    "nystroem",
    "one_norm",
    "open_store",
    "product",
    "solve",
]
