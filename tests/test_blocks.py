"""Gram matrices in tiles: the same numbers as in one piece, on disk whatever happens, and solved without the matrix."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from ntk_eoc.activations import get
from ntk_eoc.angles import input_gaps
from ntk_eoc.blocks import (
    Kernel,
    block_function,
    cross_product,
    fill,
    gram_store,
    nystroem,
    one_norm,
    open_store,
    product,
    solve,
)
from ntk_eoc.blocks.inputs import read
from ntk_eoc.blocks.store import describe, done, remove, stored
from ntk_eoc.blocks.tiles import here, lower_half, sides, tile_size
from ntk_eoc.data import unit_norm
from ntk_eoc.gram import gram
from ntk_eoc.kernels import kernels
from ntk_eoc.profile import ntk_ratio, profile

RELU = Kernel("relu", (0.0, 2**0.5), 20)
ANY = np.random.default_rng(0).normal(size=(30, 6))
ANY[1], ANY[2], ANY[3] = ANY[0] * 3.0, -ANY[0], ANY[0] + 1e-7  # parallel, opposite, nearly equal
EQUAL = unit_norm(ANY)


@pytest.mark.parametrize(
    ("kernel", "x"),
    [
        (RELU, ANY),
        # of a ReLU the recursion itself loses digits here, where two rows are opposite to 3e-14
        (Kernel("leaky_relu:0.8", (0.0, 1.2), 12, architecture="residual"), ANY),
        (Kernel("leaky_relu:0.1", (0.0, 1.2), 7, "nngp"), ANY),
        (Kernel("tanh", (0.2, 1.3), 5), EQUAL),
        (Kernel("erf", (0.0, 1.2), 20), EQUAL),  # odd
        (Kernel("relu", (0.3, 1.2), 9, "nngp"), 2 * EQUAL),
        (Kernel("erf", (0.3, 1.2), 4), ANY),
        (Kernel("tanh", (0.2, 0.8), 5, architecture="residual"), EQUAL),
        (Kernel("erf", (0.3, 1.2), 4, "nngp", architecture="residual"), ANY),
    ],
)
@pytest.mark.thorough(first=2)
def test_a_block_is_a_part_of_the_gram_matrix(kernel: Kernel, x: np.ndarray) -> None:
    (sigma_b, sigma_w), block = kernel.sigmas, block_function(kernel, one_norm(x), "float64")
    options = {"sigma_b": sigma_b, "sigma_w": sigma_w, "architecture": kernel.architecture}
    whole = kernels(get(kernel.activation), jnp.asarray(x), depth=kernel.depth, **options)
    wanted = np.asarray(getattr(whole, kernel.kind))
    size = np.sqrt(np.outer(np.diag(wanted), np.diag(wanted)))
    for found, part in ((block(x, None), slice(None)), (block(x[:9], x), slice(9))):
        assert np.max(np.abs(found - wanted[part]) / size[part]) < 1e-12
    single = block_function(kernel, one_norm(x), "float32")(x, None)
    assert single.dtype == np.float32
    assert np.max(np.abs(single - wanted) / size) < 3e-7
    assert (single == single.T).all()


def test_a_block_agrees_with_the_profile_in_every_panel_of_angles() -> None:
    theta = np.concatenate([np.pi * 0.5 ** np.arange(1.0, 60.0), np.pi * (1 - 0.5 ** np.arange(2.0, 12.0)), [np.pi]])
    found = profile(get("relu"), [300], sigma_b=0.0, sigma_w=2**0.5)
    x = np.stack([np.cos(theta), np.sin(theta)], axis=1)
    block = block_function(Kernel("relu", (0.0, 2**0.5), 300), None, "float64")(x[-1:] * [-1, 0] * 2**0.5, x * 2**0.5)
    wanted = ntk_ratio(found, input_gaps(np.array([[1.0, 0.0]]), x))[0] * 600.0
    np.testing.assert_allclose(block, wanted, rtol=1e-12)


def test_one_norm_allows_the_rounding_of_the_dtype_and_no_more() -> None:
    assert one_norm(EQUAL.astype(np.float32)) == pytest.approx(1.0, abs=1e-6)
    assert one_norm(EQUAL.astype(np.float32).astype(np.float64)) is None
    assert one_norm(0 * EQUAL) is None


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: block_function(RELU, None)(0 * ANY, None), "x1: expected rows with a direction, got zeros in row 0"),
        (
            lambda: block_function(Kernel("tanh", (0.2, 1.3), 20), 1.0)(EQUAL, ANY),
            r"x2: expected rows with \|x\|\^2/d = 1, got .* in row",
        ),
        (lambda: block_function(RELU, None, "float16"), "dtype: expected one of float32, float64"),
        (lambda: block_function(Kernel("relu", (0.0, 1.0), 3, "ntkk"), None), "did you mean 'ntk'"),
        (lambda: block_function(Kernel("relu", (0.0, 9.0), 300), None)(ANY, None), "range of float32; .* or float64"),
        (
            lambda: block_function(Kernel("tanh", (0.0, 1.0), 3, architecture="resnet"), None),
            "architecture: expected one",
        ),
        (lambda: block_function(RELU, None, devices=64), "devices: expected 1 to .* this process has, got 64"),
        (lambda: tile_size(6, 100), "memory: expected at least 256 bytes, for one row on each side, got 100"),
        (lambda: tile_size(6, 9000, layered=True), "memory: expected at least 33056 bytes"),  # series of every row
        (lambda: solve(lambda v: v, np.ones((2, 1)), -1.0), "mu: expected ridges of at least 0, got -1"),
        (lambda: nystroem(block_function(RELU, None), ANY, rank=0), "rank: expected a number above 0"),
    ],
)
def test_bad_input_is_one_sentence(call, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence) as caught:
        call()
    assert "\n" not in str(caught.value)


def dense(kernel: Kernel, x: np.ndarray, size: int) -> np.ndarray:
    block, whole = block_function(kernel, one_norm(x), "float64"), np.zeros((len(x), len(x)))
    for tile in lower_half(len(x), size):
        whole[tile.rows, tile.columns] = block(*sides(x, tile))
        whole[tile.columns, tile.rows] = whole[tile.rows, tile.columns].T
    return whole


@pytest.mark.parametrize("stop", [0, 1, 4, 5, 10])
def test_a_run_that_was_stopped_ends_with_the_same_bytes_and_repeats_nothing(tmp_path: Path, stop: int) -> None:
    config, block = describe(RELU, ANY, "float64"), block_function(RELU, None, "float64")

    def stopping(tiles):
        for number, filled in enumerate(here(block, ANY, tiles)):
            if number == stop:
                # the power fails while this tile is being written: garbage, and no mark
                matrix = np.load(tmp_path / "s" / "gram.npy", mmap_mode="r+")
                matrix[filled[0].rows, filled[0].columns] = np.nan
                raise KeyboardInterrupt
            yield filled

    store = open_store(tmp_path / "s", config, 8)
    if stop < 10:  # there are ten tiles
        with pytest.raises(KeyboardInterrupt):
            fill(store, stopping)
    else:
        fill(store, stopping)
    assert done(store).sum() == stop
    again = open_store(tmp_path / "s", config, 20, resume=True)  # more memory: the tiles stay as they were
    assert again == store
    assert fill(again, partial(here, block, ANY)) == 10 - stop
    assert fill(again, partial(here, block, ANY)) == 0
    assert (np.load(tmp_path / "s" / "gram.npy") == dense(RELU, ANY, 8)).all()
    remove(tmp_path / "s")
    assert not (tmp_path / "s").exists()


def test_a_killed_process_is_gone_on_with(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", ANY)
    line = ["gram", "relu", str(tmp_path / "x.npy"), "--sigma-b", "0", "--sigma-w", repr(2**0.5), "--depth", "20"]
    line += ["--out", str(tmp_path / "s"), "--memory", "2000", "--dtype", "float64", "--json"]
    # into a file: a pipe that nobody reads fills with what older compilers say of their cache, and stops the process
    with (tmp_path / "said").open("wb") as errors:
        running = subprocess.Popen([sys.executable, "-m", "ntk_eoc.cli", *line], stderr=errors)
    marks, limit = tmp_path / "s" / "done.npy", time.monotonic() + 100
    while time.monotonic() < limit and running.poll() is None and not (marks.is_file() and np.load(marks).any()):
        time.sleep(0.005)
    running.send_signal(signal.SIGKILL)
    running.wait()
    assert marks.is_file(), (tmp_path / "said").read_text()
    finished = int(np.load(marks).sum())
    assert finished
    whole = gram_store(RELU, ANY, tmp_path / "s", dtype="float64", memory=2000, resume=True)
    assert whole["computed"] == whole["blocks"] - finished
    assert (np.load(whole["file"]) == dense(RELU, ANY, whole["tile"])).all()


def break_it(folder: Path, how: str) -> None:
    if how == "cut":
        with (folder / "gram.npy").open("r+b") as file:
            file.truncate(1000)
    elif how == "marks":
        (folder / "done.npy").write_bytes(b"x")
    elif how == "gone":
        (folder / "gram.npy").unlink()
    elif how == "unfinished":
        np.save(folder / "done.npy", np.arange(10, dtype=np.uint8) % 2)
    elif how == "text":
        (folder / "config.json").write_text("[")


@pytest.mark.parametrize(
    ("how", "change", "sentence"),
    [
        ("", {"kernel": Kernel("relu", (0.0, 2**0.5), 21)}, r"expected a folder of this configuration.*kernel.depth"),
        ("", {"x": 2 * ANY}, "inputs.sha256"),
        ("", {"dtype": "float64"}, r"dtype \(float32 there, float64 here\)"),
        ("", {"memory": 300}, "memory: expected enough for tiles of 8 rows"),
        ("unfinished", {}, "expected no unfinished Gram matrix, got 5 of 10 blocks in .*; go on with --resume"),
        ("cut", {}, "expected a whole Gram matrix of 30 inputs, got another file"),
        ("gone", {}, "expected the Gram matrix that done.npy speaks of, got no such file"),
        ("marks", {}, "expected the marks of 10 blocks, got another file"),
        ("text", {}, "expected the configuration of a run, got other text"),
    ],
)
def test_another_or_broken_store_is_refused(tmp_path: Path, how: str, change, sentence: str) -> None:
    given = {"kernel": RELU, "x": ANY, "out": tmp_path, "memory": 8 * 8 * 64 + 8 * 32 * 6}
    assert gram_store(**given)["tile"] == 8
    assert gram_store(**given)["computed"] == 0
    break_it(tmp_path, how)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ValueError, match=sentence):
        gram_store(**{**given, **change})
    assert before == {path.name: path.read_bytes() for path in tmp_path.iterdir()}


def test_a_disk_without_room_is_said_before_anything_is_computed(tmp_path: Path) -> None:
    many = np.lib.format.open_memmap(tmp_path / "x.npy", mode="w+", dtype=np.float32, shape=(10_000_000, 1))
    config = {"kernel": {}, "inputs": {"shape": list(many.shape)}, "dtype": "float32"}
    with pytest.raises(OSError, match="out: cannot reserve 4e\\+05 GB"):
        open_store(tmp_path / "s", config, 10_000_000)
    assert [path.name for path in (tmp_path / "s").iterdir()] == ["config.json"]


@pytest.mark.parametrize("rank", [0, 10, 30])
def test_conjugate_gradients_solve_every_ridge_at_once(tmp_path: Path, rank: int) -> None:
    y, mus = np.random.default_rng(1).normal(size=(30, 3)), np.array([40.0, 1.0, 1e-3])
    block = block_function(RELU, None, "float64")
    store = open_store(tmp_path / "s", describe(RELU, ANY, "float64"), 8)
    fill(store, partial(here, block, ANY))
    low_rank = nystroem(block, ANY, rank=rank, memory=3000) if rank else None
    fit = solve(lambda v: product(stored(store), v), y, mus, low_rank=low_rank, tolerance=1e-10)
    gram = np.asarray(kernels(get("relu"), jnp.asarray(ANY), sigma_b=0.0, sigma_w=2**0.5, depth=20).ntk)
    wanted = np.stack([np.linalg.solve(gram + mu * np.eye(30), y[:, i]) for i, mu in enumerate(mus)], axis=1)
    assert fit.converged
    assert fit.residual.max() < 1e-9
    np.testing.assert_allclose(fit.coefficients, wanted, rtol=1e-4, atol=1e-6 * np.abs(wanted).max())
    seen = cross_product(block, ANY[5:25] + 0.1, ANY, fit.coefficients, memory=3000)
    np.testing.assert_allclose(seen, block(ANY[5:25] + 0.1, ANY) @ fit.coefficients, rtol=1e-9)


def test_the_preconditioner_is_what_it_says_and_saves_products() -> None:
    x = np.random.default_rng(2).normal(size=(200, 3))
    kernel = Kernel("relu", (0.0, 2**0.5), 3)
    block = block_function(kernel, None, "float64")
    gram, y = block(x, None), np.random.default_rng(3).normal(size=(200, 1))
    low_rank = nystroem(block, x, rank=80)
    chosen = np.sort(np.random.RandomState(0).permutation(200)[:80])
    wanted = gram[:, chosen] @ np.linalg.pinv(gram[chosen][:, chosen], rcond=80 * 2.0**-23) @ gram[chosen]
    np.testing.assert_allclose((low_rank.vectors * low_rank.values) @ low_rank.vectors.T, wanted, atol=1e-6)
    with_it, without = (solve(lambda v: gram @ v, y, 0.01, low_rank=part).iterations for part in (low_rank, None))
    assert with_it < without / 2


def test_a_search_that_does_not_converge_says_so() -> None:
    gram = np.diag(10.0 ** np.arange(8))
    with pytest.warns(UserWarning, match=r"conjugate gradients: residual .* of 1.0e-06 after 2 iterations"):
        fit = solve(lambda v: gram @ v, np.ones((8, 1)), 0.0, most=2)
    assert not fit.converged
    assert fit.residual[0] == pytest.approx(np.linalg.norm(1 - gram @ fit.coefficients[:, 0]) / 8**0.5)


ON_FOUR = """
import sys, jax, numpy as np
jax.config.update("jax_enable_x64", True)
from ntk_eoc.blocks import Kernel, block_function
x = np.load(sys.argv[1])
blocks = [block_function(Kernel("relu", (0.0, 2**0.5), 20), None, "float64", n) for n in (1, 4)]
one, four = (block(x[:30], x) for block in blocks)
print(np.abs(blocks[1](x[:1], None) / blocks[0](x[:1], None) - 1).max())
print(len(jax.devices()), np.abs(one / four - 1).max() < 1e-13, np.abs(blocks[1](x, None) / one - 1).max() < 1e-13)
try:
    block_function(Kernel("relu", (0.0, 2**0.5), 20), None, "float64", 5)
except ValueError as error:
    print(error)
"""


@pytest.mark.thorough
def test_four_devices_give_what_one_gives(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", ANY)  # 30 rows: four devices cannot share them equally
    found = subprocess.run(
        [sys.executable, "-c", ON_FOUR, str(tmp_path / "x.npy")],
        env={**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=4"},
        capture_output=True,
        text=True,
    )
    alone, first, second = found.stdout.splitlines()
    assert (alone, first) == ("0.0", "4 True True"), found.stderr
    assert second == "devices: expected 1 to 4, which is what this process has, got 5"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"no numpy", "expected an .npy file with numbers"),
        (np.zeros(3), "expected a matrix of numbers with one input a row, got shape"),
        (np.array([["a"]]), "expected a matrix of numbers"),
        (np.array([[np.nan]]), "expected finite numbers"),
    ],
)
def test_files_that_are_no_inputs_are_refused(tmp_path: Path, content, sentence: str) -> None:
    path = tmp_path / "x.npy"
    path.write_bytes(content) if isinstance(content, bytes) else np.save(path, content)
    with pytest.raises(ValueError, match=sentence):
        read(path)
    np.save(path, np.eye(2, dtype=np.int32))
    assert read(path).dtype == np.float64
    np.save(path, np.ones((2, 3), dtype=np.float32))
    assert read(path).dtype == np.float32


def test_blocks_that_go_through_layers_take_more_memory(tmp_path: Path) -> None:
    options = {"dtype": "float64", "memory": 2**18}
    for k, (kernel, x) in enumerate(
        [(RELU, ANY), (Kernel("tanh", (0.2, 1.3), 2), EQUAL), (Kernel("tanh", (0.2, 1.3), 2), ANY)]
    ):
        found = gram_store(kernel, x, tmp_path / str(k), **options)
        assert (found["tile"] < 8) == (k == 2)
    for block, room in ((block_function(RELU, None), 9000), (block_function(kernel, None), 2**18)):
        for call in (partial(nystroem, block, ANY, rank=2), partial(cross_product, block, ANY, ANY, np.ones((30, 1)))):
            with contextlib.nullcontext() if not block.layered else pytest.raises(ValueError, match="memory: expected"):
                call(memory=9000)
            call(memory=room)


def test_the_command_line(tmp_path: Path, capsys) -> None:
    from ntk_eoc.cli import main

    np.save(tmp_path / "x.npy", EQUAL)
    line = ["gram", "tanh", str(tmp_path / "x.npy"), "--sigma-b", "0.2", "--sigma-w", "1.3", "--depth", "10"]
    line += ["--out", str(tmp_path / "s"), "--json"]
    assert main(line) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found) == {"file", "inputs", "dtype", "tile", "blocks", "computed", "seconds"}
    assert np.load(found["file"]).shape == (30, 30)
    skips = [*line[:-2], str(tmp_path / "skips"), "--json", "--architecture", "residual"]
    assert main(skips) == 0
    grown = np.load(json.loads(capsys.readouterr().out)["file"])
    wanted = gram(get("tanh"), EQUAL, sigma_b=0.2, sigma_w=1.3, depth=10, architecture="residual").ntk
    np.testing.assert_allclose(grown, wanted, rtol=1e-6)
    assert main([*skips[:-1], "resnet"]) == 2
    assert "architecture: expected one of ffnn, residual" in capsys.readouterr().err
    assert main([*line, "--memory", "100"]) == 2
    assert "memory: expected at least 256 bytes" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([*line, "--memory", "lots"])
    assert "expected bytes, as 2000000 or 512M or 2G, got 'lots'" in capsys.readouterr().err
