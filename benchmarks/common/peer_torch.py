"""A training step in PyTorch, in the peer's environment: as one writes it, and as fast as it can be written."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from common.inputs import network
from common.serve import serve
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, log_softmax

RATE, ROWS = 1e-3, 64


def given(width: int, depth: int) -> tuple[list[Tensor], Tensor, Tensor]:
    """Weights, x and labels: see ``common.inputs.network``."""
    problem = network(width, depth, ROWS)
    ws = [torch.from_numpy(w.copy()) for w in problem["weights"]]
    return ws, torch.from_numpy(problem["x"].copy()), torch.from_numpy(problem["labels"].astype("int64"))


def modules(width: int, depth: int) -> tuple[nn.Sequential, Tensor, Tensor]:
    """The network as a Sequential of Linear and ReLU."""
    ws, x, labels = given(width, depth)
    layers = [nn.Linear(*w.shape) for w in ws]
    for layer, w in zip(layers, ws, strict=True):
        layer.weight.data, layer.bias.data = w.T.contiguous(), torch.zeros(w.shape[1])
    hidden = [part for layer in layers[:-1] for part in (layer, nn.ReLU(inplace=True))]
    return nn.Sequential(*hidden, layers[-1]), x, labels


def sequential(width: int, depth: int) -> Callable[[], Any]:
    """``nn.Sequential`` and ``torch.optim.SGD``, all weights in few calls; returns the sum of all losses so far."""
    net, x, labels = modules(width, depth)
    optimiser, total = torch.optim.SGD(net.parameters(), lr=RATE, foreach=True), torch.zeros(1)

    def step() -> Tensor:
        optimiser.zero_grad(set_to_none=True)
        loss = cross_entropy(net(x), labels)
        loss.backward()
        optimiser.step()
        return total.add_(loss.detach(), alpha=ROWS)

    return step


def hooks(width: int, depth: int) -> Callable[[], Any]:
    """The same, but each weight is replaced as soon as its gradient is known, while it is in the cache."""
    net, x, labels = modules(width, depth)
    total = torch.zeros(1)

    def replace(p: Tensor) -> None:
        with torch.no_grad():
            p.add_(p.grad, alpha=-RATE)
        p.grad = None

    for p in net.parameters():
        p.register_post_accumulate_grad_hook(replace)

    def step() -> Tensor:
        loss = cross_entropy(net(x), labels)
        loss.backward()
        return total.add_(loss.detach(), alpha=ROWS)

    return step


def by_hand(width: int, depth: int) -> Callable[[], Any]:
    """No automatic differentiation, no new memory, and the update inside the product that gives the gradient."""
    ws, x, labels = given(width, depth)
    bs, total, ones = [torch.zeros(w.shape[1]) for w in ws], torch.zeros(1), torch.ones(ROWS)
    hs = [x, *(torch.empty(ROWS, w.shape[1]) for w in ws)]
    below = [torch.empty(ROWS, width), torch.empty(ROWS, width)]
    one_hot = nn.functional.one_hot(labels, 10).float()

    @torch.inference_mode()
    def step() -> Tensor:
        for i, (w, b) in enumerate(zip(ws, bs, strict=True)):
            torch.addmm(b, hs[i], w, out=hs[i + 1])
            if i < depth - 1:
                hs[i + 1].relu_()
        log_p = log_softmax(hs[-1], 1)
        total.sub_((log_p * one_hot).sum())
        g = log_p.exp_().sub_(one_hot).div_(ROWS)
        for i in reversed(range(depth)):
            if i:
                down = torch.mm(g, ws[i].T, out=below[i % 2])
                torch.ops.aten.threshold_backward.grad_input(down, hs[i], 0.0, grad_input=down)
            ws[i].addmm_(hs[i].T, g, alpha=-RATE)
            bs[i].addmv_(g.T, ones, alpha=-RATE)
            g = down
        return total

    return step


METHODS = {
    "Sequential and SGD(foreach)": sequential,
    "weights updated by hooks": hooks,
    "by hand, in place": by_hand,
}
CASES = {
    f"training {width} {depth}: {name}": partial(method, width, depth)
    for width, depth in ((300, 300), (200, 100))
    for name, method in METHODS.items()
}

if __name__ == "__main__":
    serve(CASES, ("torch", "numpy"))
