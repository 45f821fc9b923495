"""Mean-field theory of the neural tangent kernel: an executable companion of arXiv 1905.13654.

The modules import downwards only::

    activations -> closed_forms -> gaussian -> meanfield -> zonal -> kernels -> ... -> cli

Importing the package configures nothing. The theory computes in float64, so a caller switches JAX to
64 bits first: ``jax.config.update("jax_enable_x64", True)``.
"""

__version__ = "0.1.0"
