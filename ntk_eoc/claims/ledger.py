"""Every claim of the paper (ICLR-2020 submission text; its own numbers), one entry each, in our words."""

from collections.abc import Callable

from ntk_eoc.claims import (
    evidence,
    evidence_beyond,
    evidence_finite,
    evidence_flat,
    evidence_linear,
    evidence_sgd,
    evidence_trained,
)
from ntk_eoc.claims.claim import CONDITIONS as CONDITIONS
from ntk_eoc.claims.claim import CORRECTED as CORRECTED
from ntk_eoc.claims.claim import FALSE as FALSE
from ntk_eoc.claims.claim import HOLDS as HOLDS
from ntk_eoc.claims.claim import NOT_RUN as NOT_RUN
from ntk_eoc.claims.claim import Claim as Claim
from ntk_eoc.claims.later import LATER
from ntk_eoc.claims.rows import Row

CLAIMS = (
    Claim(
        "eq4",
        "Sec. 3.1, Eq. 4",
        "The tangent kernel is a sum over layers of products of gradients.",
        "The NTK is the sum over layers of inner products of gradients, in dense and residual networks and in"
        " either parameterisation.",
        HOLDS,
        "finite_ntk",
    ),
    Claim(
        "eq6",
        "Sec. 3.1",
        "As the widths grow, the kernel of a dense network becomes deterministic and constant in training time.",
        "At a fixed depth the NTK of a dense or residual network comes within the order of n^(-1/2) of a "
        "deterministic kernel, and training moves it at most as much. Its spread is governed by depth/width, "
        "so depth has to stay small beside width; learned slopes (PReLU) add a part that stays random.",
        CONDITIONS,
        "finite_ntk",
    ),
    Claim(
        "eq8",
        "Eq. 7, 8",
        "Outputs on the training set relax linearly, by exp(-K t/N).",
        "With squared loss the outputs of a wide network on the training set relax like exp(-K t/N), up to "
        "the order of n^(-1/2) with the limiting kernel and, for smooth activations, 1/n with the network's own.",
        HOLDS,
        "linear_training",
    ),
    Claim(
        "eq9",
        "Eq. 9",
        "Predictions at any x are K(x, X) K(X, X)^-1 (I - exp(-K t/N)) applied to the initial error.",
        "Predictions elsewhere follow from K(x, X) K(X, X)^-1 and the same exponential, with the same orders "
        "in the width.",
        HOLDS,
        "linear_training",
    ),
    Claim(
        "gd",
        "Eq. 1, 2",
        "Gradient descent with step eta stays within O(eta) of the gradient flow.",
        "Gradient descent follows the gradient flow with error O(eta), with a constant in closed form, for "
        "eta below 2N/lambda_max.",
        HOLDS,
        "linear_training",
    ),
    Claim(
        "lemma1",
        "Lemma 1",
        "Outputs reach the targets if and only if K(X, X) is non-singular; else the error is bounded below.",
        "Training reaches every target if and only if K(X, X) is non-singular. With a singular one exactly "
        "the projection of f_0(X) - Y on its null space remains, and targets for which that is zero are "
        "reached all the same.",
        CONDITIONS,
        "linear_training",
    ),
    Claim(
        "gen",
        "Sec. 3.1",
        "With a kernel that is constant off the diagonal, what is learned does not depend on x.",
        "A kernel that is constant off the diagonal learns the same for every new input. Deep kernels come "
        "close to one at the rate of their phase. In the ordered phase the conclusion is about finite training "
        "time, which has to grow like chi^-L (chi^(-L/2) with a kink); in the chaotic phase it holds for the "
        "squared error at any time.",
        CONDITIONS,
        "flat_kernel",
    ),
    Claim(
        "prop1",
        "Proposition 1",
        "In the ordered and in the chaotic phase, K^L tends to one constant exponentially, uniformly over all inputs.",
        "Ordered with bias: K^L tends to q/(1 - chi) for all inputs, like L chi^L without a kink in phi and like "
        "chi^(L/2) with one. Chaotic: the diagonal grows like chi^L, off the diagonal K^L tends to "
        "q_off/(1 - chi_c*), so the normalised kernel tends to the identity.",
        CORRECTED,
        "prop1_phases",
    ),
    Claim(
        "grad",
        "Sec. 4",
        "On the Edge of Chaos gradients keep their norm, so every layer contributes alike and K^L grows like L.",
        "On the Edge of Chaos every layer adds the same amount q to K^L(x, x), which grows like q L.",
        HOLDS,
        "prop2_edge",
    ),
    Claim(
        "prop2a",
        "Proposition 2.1",
        "ReLU-like: K^L/L stays within A/L of its limit off the diagonal, and is exact up to K^0/L on it.",
        "ReLU-like, inputs kept apart: K^L/(L q) = 1/4 + (3/8) log(L)/L; the printed bound A/L misses the logarithm.",
        CORRECTED,
        "logarithm",
    ),
    Claim(
        "prop2b",
        "Proposition 2.2",
        "Tanh, ELU, SiLU and their kin: off the diagonal the deviation from the limit is of order log(L)/L.",
        "Smooth activations: 1/3 + C log(L)/L with C in closed form; ELU, whose second derivative jumps, has L^(-1/2).",
        CORRECTED,
        "logarithm",
    ),
    Claim(
        "prop2c",
        "after Prop. 2",
        "K^L(X, X) = L J (1 + o(1)) with an invertible J.",
        "For inputs of one norm, no two parallel, K^L(X, X)/(L q) tends to a matrix with least eigenvalue 1 - limit.",
        HOLDS,
        "prop2_edge",
    ),
    Claim(
        "prop3",
        "Proposition 3",
        "Residual ReLU: K divided by alpha_L 2^L, alpha_L given in three cases of sigma_w, converges at rate 1/L.",
        "Residual ReLU, any sigma_w: normalised by the growth L s (1 + s)^(L-2) q^1 of its diagonal, s = sigma_w^2/2, "
        "K tends to 1/4 with next term (3/8) log(L)/L; the printed normaliser fits sigma_w = sqrt 2 only.",
        CORRECTED,
        "prop3_residual",
    ),
    Claim(
        "fig1a",
        "Figure 1a",
        "On the Edge of Chaos ReLU and ELU decay like 1/L; the logarithm cannot be observed.",
        "To depth 100 both curves look like 1/L; deeper, ReLU shows its logarithm and ELU goes like L^(-1/2).",
        CORRECTED,
        "figure1",
    ),
    Claim(
        "fig1b",
        "Figure 1b",
        "In the ordered phase ReLU and ELU decay exponentially.",
        "In the ordered phase the kernel converges exponentially: at rate -log chi for ELU, half of it for ReLU.",
        HOLDS,
        "figure1",
    ),
    Claim(
        "fig1c",
        "Figure 1c",
        "Residual networks decay like 1/L whatever sigma_w is.",
        "Residual networks converge at one rate whatever sigma_w is, and it is log(L)/L.",
        CORRECTED,
        "figure1",
    ),
    Claim(
        "fig2",
        "Figure 2",
        "On MNIST, at width 200 and depths 100 and 200, ELU and tanh on the Edge of Chaos are ahead of ReLU and its "
        "kin; Softplus and Sigmoid do not train.",
        "At width 200 and depths 100 and 200, after ten epochs, ELU and tanh are ahead of ReLU and leaky ReLU in every "
        "pair of seeds, and PReLU, whose slopes are learned, comes close to tanh. Softplus and Sigmoid with the usual "
        "weights guess, and so do tanh and ReLU off their Edge of Chaos; Sigmoid on its own trains, slowly.",
        CONDITIONS,
        "trained",
    ),
    Claim(
        "eoc",
        "Sec. 5.2",
        "(0, sqrt 2), (0.2, 1.227) and (0.2, 1.302) lie on the EOC of ReLU, ELU and tanh; Softplus and Sigmoid have "
        "none.",
        "(0, sqrt 2) is on the Edge of Chaos of ReLU; the ELU and tanh points are slightly ordered; Softplus has no "
        "Edge of Chaos; Sigmoid has one.",
        CORRECTED,
        "edge_of_chaos",
    ),
    Claim(
        "tab1",
        "Table 1",
        "Test accuracies on MNIST and CIFAR10 at width 300, depth 300, after 10 and 100 epochs.",
        "As far as they have been run here, on MNIST, ten epochs, one seed each: ELU and ReLU are within two printed "
        "spreads of their numbers, tanh is further below its own, Softplus and Sigmoid guess. The other rows, 100 "
        "epochs and CIFAR10 have not been run.",
        CONDITIONS,
        "trained",
    ),
    Claim(
        "sgd",
        "Appendix D",
        "What holds for gradient descent extends to stochastic gradient descent.",
        "In mean over its batches SGD is gradient descent while the kernel stands still; single runs differ "
        "from it by the order of sqrt(eta/B), they end where it ends if the data can be interpolated, and the"
        " rate has to stay below a smaller bound.",
        CONDITIONS,
        "sgd",
    ),
    *LATER,
)

_SOURCES = (evidence, evidence_finite, evidence_linear, evidence_flat, evidence_sgd, evidence_trained, evidence_beyond)
EVIDENCE: dict[str, Callable[..., list[Row]]] = {
    claim.id: next(getattr(source, claim.id) for source in _SOURCES if hasattr(source, claim.id))
    for claim in CLAIMS
    if claim.verdict != NOT_RUN
}
