"""The tangent kernel of one network with finitely many parameters: Eq. 4 of the paper.

    K(x, x')_{c c'} = sum over the parameters theta of  df_c(x)/dtheta  df_c'(x')/dtheta,

an o x o block for each pair of inputs; each row of outputs may depend on its own row of inputs only. Two ways:
``empirical_ntk`` takes any parameters and any function, ``dense_ntk`` the networks of ``networks``, much faster.

The precision is that of the inputs; a GPU may round float32 products further (``jax.default_matmul_precision``).
"""

from ntk_eoc.empirical.dense import dense_ntk as dense_ntk
from ntk_eoc.empirical.general import empirical_ntk as empirical_ntk
