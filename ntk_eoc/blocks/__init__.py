"""Gram matrices in blocks."""
