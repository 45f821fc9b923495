"""Random networks of finite width: the definition that every kernel of this package idealises.

Nothing here knows a Gaussian expectation or a kernel recursion, so agreement with them is evidence. The depth L
counts every dense layer. With h^1 = x and h^l = phi(y^{l-1}):

    dense^l = sigma_w / sqrt(fan_in) W^l h^l + sigma_b b^l,   W^l, b^l standard normal   (NTK, Eq. 2-3)
    dense^l = W^l h^l + b^l,   W^l ~ N(0, sigma_w^2 / fan_in),  b^l ~ N(0, sigma_b^2)     (standard)

    ffnn:      y^l = dense^l
    residual:  y^1 = dense^1,   y^l = y^{l-1} + dense^l  for every l >= 2, the last one included

Every hidden layer has the same width n, any number: equal layers are one scan, which is what makes compiling take
the same time at every depth. (``empirical`` and ``optimise`` take any other network as a function.) The paper's
residual recursion has no read-out layer, so the o outputs here are the first o coordinates of y^L: the last layer
computes only those, which needs o <= n.

An activation acts elementwise. PReLU has a parameter of its own in each hidden layer l = 1, ..., L - 1: the slope a^l
of its negative side, one number for the whole layer, drawn by nobody: all start at the slope that the activation
names (0.25), in both parameterisations.

Computation follows the dtype of the inputs; a GPU may round float32 products further
(``jax.default_matmul_precision``).
"""

from ntk_eoc.networks.layers import Dense as Dense
from ntk_eoc.networks.layers import Network as Network
from ntk_eoc.networks.moments import MomentBand as MomentBand
from ntk_eoc.networks.moments import layer_moments as layer_moments
from ntk_eoc.networks.moments import moment_band as moment_band
from ntk_eoc.networks.params import Params as Params
from ntk_eoc.networks.params import apply as apply
from ntk_eoc.networks.params import init as init
