"""What later versions of the paper state, one entry each, in our words; and one statement of this companion's own."""

from ntk_eoc.claims.claim import CONDITIONS, HOLDS, Claim

LATER = (
    Claim(
        "scaled",
        "later versions: scaled ResNet",
        "With branches divided by sqrt(l), the kernel over its growth tends to its limit at the rate 1/log(L).",
        "ReLU, no bias, s = sigma_w^2/2: q^L grows like L^s, K^L(x, x)/q^L like s log L, and K^L(x, x')/K^L(x, x) "
        "tends to 1/4 with a difference of about 1.5/(s log L), without a further logarithm.",
        HOLDS,
        "beyond",
    ),
    Claim(
        "conv",
        "later versions: CNN",
        "Convolutional networks behave on the Edge of Chaos as dense ones do.",
        "With a flattened read-out and circular padding they have the dense network's limit. Pooled over P positions "
        "the limit is lambda/(lambda + (1 - lambda)/P), with lambda = 1/4 or 1/3: nearly constant for large images.",
        CONDITIONS,
        "beyond",
    ),
    Claim(
        "sphere",
        "later versions: spectrum",
        "On the sphere only the eigenvalue of the constants stays, off the edge at an exponential rate, on it slowly.",
        "Degree by degree: off the edge like L chi^L and chi^-L, on it like 1/L. On the edge the constants keep 1/4 or "
        "1/3 of the trace, and the rest of it does not vanish: it moves to ever higher degrees.",
        CONDITIONS,
        "beyond",
    ),
    Claim(
        "layers",
        "this companion",
        "",
        "On the Edge of Chaos layer l gives (l/L)^3 times what the last one gives to K^L(x, x') if phi has a kink, "
        "(l/L)^2 if not: 1/4 and 1/3 are the integrals of these powers.",
        HOLDS,
        "beyond",
    ),
    Claim(
        "recommend",
        "this companion",
        "",
        "The condition number of the NTK on n inputs at equal angles, which counts steps of gradient descent, tends "
        "to (1 + (n - 1) l)/(1 - l) on the Edge of Chaos, l = 1/4 if phi has a kink, 1/3 if not. In the ordered phase "
        "it grows without bound; in the chaotic one it tends to one, for a kernel that connects no two inputs.",
        HOLDS,
        "your_activation",
    ),
)
