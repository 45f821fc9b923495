"""The two binary formats of published images, from bytes to arrays; nothing is ever unpickled or unpacked to disk."""

import tarfile
from collections.abc import Collection
from pathlib import Path

import numpy as np
from jaxtyping import Int64, UInt8
from numpy import ndarray

CIFAR_ROW = 1 + 3 * 32 * 32  # a label, then the red, green and blue plane


def idx(name: str, content: bytes) -> UInt8[ndarray, "..."]:
    """The array of bytes in an IDX file, with the shape that its header states.

    The header is two zeros, 8 (for unsigned bytes), the number of dimensions, and each dimension as a big-endian
    32-bit integer. Raises ``ValueError`` naming the file if it is no such header or not as much data as it states.

    >>> idx("x", bytes([0, 0, 8, 1, 0, 0, 0, 2, 5, 7]))
    array([5, 7], dtype=uint8)
    """
    if len(content) < 4 or content[:3] != bytes([0, 0, 8]) or len(content) < 4 + 4 * content[3]:
        raise ValueError(f"{name}: expected an IDX file of unsigned bytes, got one that begins {content[:4].hex()}")
    rank = content[3]
    shape = tuple(int(n) for n in np.frombuffer(content, ">u4", rank, 4))
    body = np.frombuffer(content, np.uint8, offset=4 + 4 * rank)
    if body.size != np.prod(shape, dtype=np.int64):
        raise ValueError(f"{name}: expected {shape} bytes as its header states, got {body.size}")
    return body.reshape(shape)


def cifar(name: str, content: bytes) -> tuple[UInt8[ndarray, "N 3072"], Int64[ndarray, " N"]]:
    """(pixels, labels) of one CIFAR10 binary batch; a row of pixels is the red, green and blue plane, row by row.

    Raises ``ValueError`` naming the file if it is not a whole number of images with labels 0 to 9.
    """
    if not content or len(content) % CIFAR_ROW:
        raise ValueError(f"{name}: expected a multiple of {CIFAR_ROW} bytes, an image each, got {len(content)}")
    rows = np.frombuffer(content, np.uint8).reshape(-1, CIFAR_ROW)
    if (largest := int(rows[:, 0].max())) > 9:
        raise ValueError(f"{name}: expected labels from 0 to 9, got {largest}")
    return rows[:, 1:], rows[:, 0].astype(np.int64)


def members(archive: Path, folder: str, names: Collection[str]) -> dict[str, bytes]:
    """What the regular files ``folder/name`` of a .tar.gz hold, by name; whatever else is in it is not looked at.

    Raises ``ValueError`` naming the archive and the first member that is missing.
    """
    found: dict[str, bytes] = {}
    with tarfile.open(archive, "r:gz") as tar:
        for member in tar:
            name = member.name.removeprefix(f"{folder}/")
            if member.isreg() and name in names and member.name != name:
                content = tar.extractfile(member)
                found[name] = content.read() if content else b""
    for name in names:
        if name not in found:
            raise ValueError(f"{archive}: expected a member {folder}/{name}, got none")
    return found
