"""What each command of ``ntk-eoc`` answers: parsed arguments in, a dictionary of plain values out.

The modules behind an answer are imported when it is asked for, so that asking for help costs nothing.
"""

import argparse
import sys
import warnings
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm

Answer = dict[str, Any]


def activation_of(args: argparse.Namespace) -> Any:
    from ntk_eoc.activations import get

    try:
        kinks = [float(part) for part in args.kinks.split(",") if part.strip()]
    except ValueError:
        raise ValueError(f"kinks: expected numbers separated by commas, got {args.kinks!r}") from None
    return get(args.activation, kinks)


def run_eoc(args: argparse.Namespace) -> Answer:
    from ntk_eoc.meanfield import eoc_points

    act = activation_of(args)
    points = [point._asdict() for point in eoc_points(act, args.sigma_b)]
    return {"activation": act.name, "sigma_b": args.sigma_b, "points": points}


def run_phase(args: argparse.Namespace) -> Answer:
    from ntk_eoc.meanfield import phase

    act = activation_of(args)
    found = phase(act, sigma_b=args.sigma_b, sigma_w=args.sigma_w)
    return {"activation": act.name, "sigma_b": args.sigma_b, "sigma_w": args.sigma_w, **found._asdict()}


def run_kernel(args: argparse.Namespace) -> Answer:
    from ntk_eoc.depth import depth_kernels
    from ntk_eoc.errors import check_cosine, check_depth

    act, cosine, depth = activation_of(args), check_cosine(args.cosine), check_depth(args.depth)
    found = depth_kernels(
        act,
        cosine,
        [depth],
        sigma_b=args.sigma_b,
        sigma_w=args.sigma_w,
        q0=args.q0,
        architecture=args.architecture,
        gap=float(1 - args.cosine),  # the decimal cosine as it was typed: 0.999999 is exactly 1e-6 from 1
    )
    q, delta, ntk, ntk_diagonal, _ = (float(values[-1]) for values in found)
    return {
        "nngp": q * (1.0 - delta),
        "ntk": ntk,
        "nngp_diagonal": q,
        "ntk_diagonal": ntk_diagonal,
        "delta": delta,
        "depth": depth,
    }


def run_law(args: argparse.Namespace) -> Answer:
    from ntk_eoc.asymptotics import law
    from ntk_eoc.meanfield import eoc_points

    act = activation_of(args)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = law(act, sigma_b=args.sigma_b, sigma_w=args.sigma_w, architecture=args.architecture)
    notes = [str(warning.message) for warning in caught if issubclass(warning.category, UserWarning)]
    point = found.point
    if args.architecture == "ffnn":
        others = [p.sigma_w for p in eoc_points(act, args.sigma_b) if p != point]
        if others:
            notes.append("other EOC points at sigma_w = " + ", ".join(f"{value:.10g}" for value in others))
        if point.q is not None and not point.stable:
            notes.append("the variance fixed point is unstable: the law holds for inputs that start at it exactly")
    return {
        "activation": act.name,
        "sigma_b": args.sigma_b,
        "sigma_w": point.sigma_w,
        "q": point.q,
        "stable": point.stable,
        "regularity": found.regularity,
        "limit": found.limit,
        "rate": found.rate,
        "coefficient": found.coefficient,
        "notes": notes,
    }


def run_recommend(args: argparse.Namespace) -> Answer:
    from ntk_eoc import recommend
    from ntk_eoc.errors import check_depth
    from ntk_eoc.recipes import recipes

    act, depth = activation_of(args), check_depth(args.depth)
    found = recommend.recommend(act, depth, args.architecture, args.width)
    start, skip = found.start, args.architecture == "residual"
    options = {"sigma_b": start.sigma_b, "sigma_w": start.sigma_w, "architecture": args.architecture}
    q0 = None if act.slopes is not None and start.sigma_b == 0 else start.q0  # inputs of any size will do
    return {
        "activation": act.name,
        "architecture": args.architecture,
        "depth": depth,
        "sigma_w": start.sigma_w,
        "sigma_b": start.sigma_b,
        "q": start.q,
        "stable": None if skip else start.stable,
        **_verdict(found.verdict),
        "input_mean_square": q0,
        "criterion": recommend.RESIDUAL if skip else recommend.DENSE,
        "usual": [_usual(name, *one) for name, one in found.usual.items()],
        "warnings": found.warnings,
        "recipe": recipes(act.name, depth=depth, width=args.width, q0=q0, **options),
    }


def _usual(name: str, start: Any, verdict: Any) -> Answer:
    """A usual initialisation as a row."""
    sigmas = {"sigma_w": start.sigma_w, "sigma_b": start.sigma_b}
    singular = verdict.condition == float("inf")
    return {"name": name, **sigmas, "phase": verdict.phase, "singular": singular, **_verdict(verdict)}


def _verdict(verdict: Any) -> Answer:
    """What both have; a singular kernel has no condition number."""
    return {
        "expected_correlation": verdict.correlation,
        "ntk_condition": None if verdict.condition == float("inf") else verdict.condition,
        "ntk_contrast": verdict.contrast,
        "ntk_log10": verdict.log10_size,
    }


def run_gram(args: argparse.Namespace) -> Answer:
    from ntk_eoc.blocks import Kernel, gram_store
    from ntk_eoc.blocks.inputs import read
    from ntk_eoc.errors import check_depth

    kinks = tuple(activation_of(args).kinks) if args.kinks else ()
    sigmas, depth = (args.sigma_b, args.sigma_w), check_depth(args.depth)
    kernel = Kernel(args.activation, sigmas, depth, args.kernel, kinks, args.architecture)
    options = {name: getattr(args, name) for name in ("dtype", "memory", "resume", "devices", "dask")}
    return gram_store(kernel, read(args.inputs), args.out, **options)


def run_verify(args: argparse.Namespace) -> Answer:
    from ntk_eoc.claims import report, store, verify

    def watch(claims: Iterable[Any]) -> Iterable[Any]:
        return tqdm(list(claims), desc="claims", unit="claim", disable=not sys.stderr.isatty())

    if args.out is None:
        if args.resume:
            raise ValueError("resume: expected --out with the folder to go on in, got none")
        return report(verify(args.only, watch, args.seed), args.seed)
    return store.fill(args.out, args.only, watch, seed=args.seed, resume=args.resume)


def run_reproduce(args: argparse.Namespace) -> Answer:
    from pathlib import Path

    from ntk_eoc.errors import check_choice
    from ntk_eoc.experiments import plans, reproduce

    item = check_choice("item", args.item, reproduce.ITEMS)
    if item in plans.FULL:
        own = {name: getattr(args, name) for name in ("width", "depth", "epochs", "seeds")}
        plan = plans.plan(item, args.full, args.dataset, args.activations, **own)
        out = args.out or Path("reproduced") / f"{item}-{plan.dataset}"
        try:
            return reproduce.training(item, plan, out, args.resume, args.dask, args.memory)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"stopped; go on with: {plans.command(item, plan, out)} --resume") from None
    for name in ("activations", "seeds", "epochs", "width", "depth", "dask", "memory"):
        if getattr(args, name):
            raise ValueError(f"{name}: expected none for {item}, which trains nothing, got {getattr(args, name)}")
    if args.dataset not in (None, "digits"):
        raise ValueError(f"dataset: expected digits for {item}, got {args.dataset!r}")
    return reproduce.panel(item, args.full, args.out or Path("reproduced") / item)


def run_activations(args: argparse.Namespace) -> Answer:
    from ntk_eoc.activations import NAMED
    from ntk_eoc.meanfield import eoc_points

    rows = []
    for name, act in NAMED.items():
        points = [point._asdict() for point in eoc_points(act, 0.2)]
        rows.append({"activation": name, "kinks": list(act.kinks), "eoc": points, "source": act.source})
    return {"activations": rows}
