"""The activation of the chapter *Bring your own activation*: any function of JAX operations will do."""

import jax
import jax.numpy as jnp


def mish(x):
    """x tanh(log(1 + exp(x))), known as Mish."""
    return x * jnp.tanh(jax.nn.softplus(x))
