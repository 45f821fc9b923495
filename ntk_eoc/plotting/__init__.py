"""Arrays to axes. Nothing here computes: what a figure shows comes from ``ntk_eoc.experiments``."""
