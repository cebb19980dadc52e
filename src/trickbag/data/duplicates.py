"""Copies of an image: found by a hash of the file's bytes, or of the pixels of one in memory."""

from __future__ import annotations

import hashlib

__all__ = ["content_digest"]


def content_digest(data: bytes | memoryview) -> str:
    """Hash bytes with BLAKE2b to 16 hexadecimal digits."""
    return hashlib.blake2b(data, digest_size=8).hexdigest()
