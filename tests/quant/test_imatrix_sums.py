from pathlib import Path

import numpy as np
import pytest

from qwen3vl_edge.errors import GGUFError, UsageError
from qwen3vl_edge.quant.imatrix import Imatrix
from qwen3vl_edge.quant.imatrix_files import read_imatrix_entries
from qwen3vl_edge.quant.imatrix_report import imatrix_report
from qwen3vl_edge.quant.imatrix_sums import ImatrixSums, merge_imatrices, write_imatrix
from qwen3vl_edge.runtime.activations import ActivationSums
from tests.quant.imatrix_files import dat_bytes
from tests.quant.imatrix_files import write_imatrix as write_theirs

DENSE, EXPERTS, SEEN = "blk.0.attn_q.weight", "blk.0.ffn_up_exps.weight", "v.blk.0.attn_out.weight"


def sums(seed: int, *, untouched: int = 1) -> ImatrixSums:
    rng = np.random.default_rng(seed)
    of_experts = ActivationSums(rng.random((3, 8)) * 100, np.array([700, 300, 24]))
    of_experts.sums[untouched], of_experts.counts[untouched] = 0, 0
    return ImatrixSums(
        {
            SEEN: ActivationSums(rng.random((1, 6)) * 100, np.array([9000])),
            EXPERTS: of_experts,
            DENSE: ActivationSums(rng.random((1, 5)) * 100, np.array([1024 + seed])),
        },
        (f"set {seed}",),
    )


def as_theirs(imatrix: ImatrixSums) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    return {
        name: (entry.sums.astype(np.float32), entry.counts.astype(np.float32))
        for name, entry in imatrix.entries.items()
    }


def test_files_are_as_gguf_py_writes_them(tmp_path: Path) -> None:
    """The same tensors, shapes and keys as in the format of save_imatrix, by another writer."""
    ours, imatrix = tmp_path / "ours.gguf", sums(0)
    write_imatrix(ours, imatrix)
    theirs = write_theirs(tmp_path / "theirs.gguf", as_theirs(imatrix), datasets=("set 0",), n_chunks=2)
    read, expected = read_imatrix_entries(ours), read_imatrix_entries(theirs)
    assert (read.datasets, read.n_chunks, read.chunk_size) == (("set 0",), 2, 512)
    assert (read.datasets, read.n_chunks, read.chunk_size) == (
        expected.datasets,
        expected.n_chunks,
        expected.chunk_size,
    )
    assert read.entries.keys() == expected.entries.keys() == imatrix.entries.keys()
    for name, entry in expected.entries.items():
        assert (entry.sums == read.entries[name].sums).all()
        assert (entry.counts == read.entries[name].counts).all()


def test_what_is_written_is_read_as_means(tmp_path: Path) -> None:
    path, imatrix = tmp_path / "m.gguf", sums(1)
    write_imatrix(path, imatrix)
    read = Imatrix.read(path)
    assert read.n_chunks == 2
    assert (read.entries[EXPERTS][1] == 1).all()  # nobody knows: all columns weigh alike
    np.testing.assert_allclose(read.entries[DENSE][0], imatrix.entries[DENSE].sums[0] / 1025, rtol=1e-6)


def test_chunks_are_those_of_the_language_model() -> None:
    assert sums(0).n_chunks == 2
    assert ImatrixSums({SEEN: sums(0).entries[SEEN]}).n_chunks == 9000 // 512
    assert ImatrixSums().n_chunks == 0


def test_untouched_experts_are_listed() -> None:
    assert sums(0, untouched=2).untouched_experts() == {EXPERTS: (2,)}
    notes = imatrix_report(Path("m.gguf"), sums(0, untouched=2)).notes
    assert notes == (f"{EXPERTS}: no token was sent to 1 experts (2); they weigh alike",)


def test_merging_adds(tmp_path: Path) -> None:
    paths = []
    for seed in (0, 1):
        paths.append(tmp_path / f"{seed}.gguf")
        write_imatrix(paths[-1], sums(seed, untouched=seed))
    merged = merge_imatrices(paths)
    assert merged.datasets == ("set 0", "set 1")
    for name, entry in merged.entries.items():
        first, second = sums(0, untouched=0).entries[name], sums(1).entries[name]
        assert (entry.counts == first.counts + second.counts).all()
        np.testing.assert_allclose(entry.sums, first.sums + second.sums, rtol=1e-6)
    assert not merged.untouched_experts()


def test_the_old_format_is_merged_as_llama_imatrix_does(tmp_path: Path) -> None:
    """Means of n chunks are sums of n · 512 rows again; experts in one row are spread."""
    old, new = tmp_path / "old.dat", tmp_path / "new.gguf"
    dense = np.full((1, 5), 30.0, np.float32)
    experts = np.arange(24, dtype=np.float32).reshape(3, 8)
    counts = np.array([512.0], np.float32)
    old.write_bytes(dat_bytes({DENSE: (dense, counts), EXPERTS: (experts.reshape(1, -1), counts)}))
    write_imatrix(new, sums(0))
    for paths in ([old, new], [new, old]):
        merged = merge_imatrices(paths)
        known = sums(0).entries
        np.testing.assert_allclose(merged.entries[DENSE].sums, known[DENSE].sums + dense, rtol=1e-5)
        np.testing.assert_allclose(merged.entries[EXPERTS].sums, known[EXPERTS].sums + experts, rtol=1e-5)
        assert merged.entries[EXPERTS].counts.tolist() == (known[EXPERTS].counts + 512).tolist()


def test_matrices_of_other_models_are_not_merged(tmp_path: Path) -> None:
    paths = [tmp_path / "a.gguf", tmp_path / "b.gguf"]
    for path, width in zip(paths, (5, 6), strict=True):
        write_imatrix(path, ImatrixSums({DENSE: ActivationSums(np.ones((1, width)), np.array([3]))}))
    with pytest.raises(GGUFError, match=r"b.gguf: 'blk.0.attn_q.weight' has \(1, 6\) sums and \(1, 5\)"):
        merge_imatrices(paths)


def test_sums_that_are_none_are_not_merged(tmp_path: Path) -> None:
    path = write_theirs(
        tmp_path / "m.gguf", {DENSE: (np.array([[1.0, -2.0]], np.float32), np.ones(1, np.float32))}
    )
    with pytest.raises(GGUFError, match="negative or no numbers"):
        merge_imatrices([path])


def test_a_matrix_that_meets_only_zeros_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    zero = ActivationSums(np.zeros((1, 4)), np.array([7]))
    write_imatrix(path, ImatrixSums({**sums(0).entries, "blk.1.attn_q.weight": zero}))
    assert Imatrix.read(path).entries.keys() == sums(0).entries.keys()
    with pytest.raises(UsageError, match="nothing was collected"):
        write_imatrix(tmp_path / "n.gguf", ImatrixSums({DENSE: zero}))
    assert [file.name for file in tmp_path.iterdir()] == ["m.gguf"]


def test_what_is_there_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.gguf"
    path.write_text("mine")
    with pytest.raises(UsageError, match=r"m.gguf: exists; choose another name, or --overwrite"):
        write_imatrix(path, sums(0))
    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(OSError, match="No space left"):
            write_imatrix(path, sums(0), overwrite=True)
    assert path.read_text() == "mine"
    assert [file.name for file in tmp_path.iterdir()] == ["m.gguf"]
    write_imatrix(path, sums(0), overwrite=True)
    assert Imatrix.read(path).n_chunks == 2
    with pytest.raises(UsageError, match="give a file in a folder that is there"):
        write_imatrix(tmp_path / "none" / "m.gguf", sums(0))
    with pytest.raises(UsageError, match="give a file in a folder"):
        write_imatrix(tmp_path, sums(0), overwrite=True)
