"""The series as files that a page loads without a server: one script per activation, and where they come from."""

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from ntk_eoc.errors import check_choice
from ntk_eoc.explorer import series as chebyshev
from ntk_eoc.explorer.catalogue import CATALOGUE, SIGMA_B_MAX, Entry
from ntk_eoc.explorer.series import FAR_KAPPA, LAWS, Series, build, kink_power, t_max, trimmed
from ntk_eoc.records import about, write_atomically, write_json
from ntk_eoc.regularity import first_kink

PROVENANCE = "provenance.json"
RATES = {2: "/√L"}  # by the first derivative that jumps; all others: " log(L)/L"


def table(entry: Entry, series: Series) -> dict[str, Any]:
    """What the page needs to know of one activation; arrays as base64 of little-endian float64 with their shape."""
    act, kink = entry.act, first_kink(entry.act)
    constant, power = LAWS[kink]
    return {
        "name": entry.name,
        "formula": entry.formula,
        "homogeneous": act.slopes is not None,
        "phi0": float(act.phi(jnp.array(0.0))),
        "sigmaWMax": entry.sigma_w_max,
        "sigmaBMax": SIGMA_B_MAX,
        "tMax": t_max(entry),
        "logSMax": float(np.log1p(entry.s_max)),
        "kinkPower": kink_power(act),
        "farKappa": FAR_KAPPA,
        "law": {"limit": 0.25 if kink == 1 else 1 / 3, "rate": RATES.get(kink or 0, " log(L)/L")}
        | {"constant": constant, "power": power, "series": packed(trimmed(series.law))},
        "moments": packed(trimmed(series.moments)),
        "pair": packed(trimmed(series.pair)),
        "far": packed(trimmed(series.far)),
    }


def packed(array: np.ndarray) -> dict[str, Any]:
    """An array as JSON.

    >>> packed(np.array([1.0]))
    {'shape': [1], 'float64': 'AAAAAAAA8D8='}
    """
    content = np.ascontiguousarray(array, dtype="<f8").tobytes()
    return {"shape": list(array.shape), "float64": base64.b64encode(content).decode()}


def script(table: dict[str, Any]) -> str:
    """A script that hands a table to the page; a page opened from the disk may load scripts, but no data."""
    return f"ntkEoc.tables.add({json.dumps(table, ensure_ascii=False, allow_nan=False)});\n"


def write(out: Path, name: str) -> Path:
    """Write the table of the activation ``name`` into the folder ``out``; returns its path."""
    entry = CATALOGUE[check_choice("activation", name, CATALOGUE)]
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{name}.js"
    write_atomically(path, script(table(entry, build(entry))).encode())
    return path


def write_provenance(out: Path, *, command: str, seconds: float) -> Path:
    """Beside the tables: the command, its configuration, versions, commit, and the sha256 of every table there."""
    config = {"moments": chebyshev.DEGREE_T, "variances": chebyshev.DEGREE_S, "angles": chebyshev.DEGREE_W}
    origin = about(command=command, config=config, seed=None, seconds=seconds)
    sums = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(out.glob("*.js"))}
    path = out / PROVENANCE
    write_json(path, {**origin, "sha256": sums})
    return path
