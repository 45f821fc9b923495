"""Gram matrices: against the recursion pair by pair and against fifty digits, close, opposite and zero inputs included."""

from ntk_eoc import gram
