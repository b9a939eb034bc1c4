# SPDX-License-Identifier: Apache-2.0
"""Safe unpickling: data is restored, and code in files is never executed."""

import os
import pickle
import struct
from collections import defaultdict
from uuid import UUID

import joblib  # comes with nltk
import numpy as np
import pytest

from miniatures import write_sequence
from unipose_hf.body import load_body
from unipose_hf.data.sources import threedpw
from unipose_hf.files import unpickle
from unipose_hf.files.plain import read_npz, read_npz_object
from unipose_hf.files.unpickle import read_pickle


def _named(module, name):
    return f"c{module}\n{name}\n".encode()


# Runs a shell command when loaded with a regular unpickler.
ATTACKS = (
    _named("os", "system") + b"(V%s\ntR.",
    _named("posix", "system") + b"(V%s\ntR.",
    _named("builtins", "eval") + b"(V__import__('os').system('%s')\ntR.",
    b"(V%s\nios\nsystem\n.",
    b"\x80\x04\x8c\x02os\x8c\x06system\x93V%s\n\x85R.",
    b"\x80\x04\x8c\x02os\x8c\x0epath.os.system\x93V%s\n\x85R.",
)


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_pickle_cannot_run_code(tmp_path, attack):
    path, evidence = write_sequence(tmp_path), tmp_path / "evidence"
    path.write_bytes(attack.replace(b"%s", f"touch {evidence}".encode()))
    with pytest.warns(UserWarning, match=r"^1 of 3DPW skipped; the first: .*walk_00\.pkl .*which is not plain data"):
        assert list(threedpw.read_threedpw(tmp_path, "test")) == []
    assert not evidence.exists()
    pickle.loads(path.read_bytes())
    assert evidence.exists()  # confirms that the attack works


class Evil:
    """An object that makes a folder when it is unpickled."""

    def __init__(self, folder):
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


def test_an_object_among_good_data_is_refused(tmp_path):
    evidence = tmp_path / "evidence"
    write_sequence(tmp_path, genders=["m", Evil(evidence)])
    with pytest.warns(UserWarning, match="names posix.mkdir, which is not plain data"):
        assert list(threedpw.read_threedpw(tmp_path, "test")) == []
    np.savez(tmp_path / "x.npz", good=np.zeros(2), bad=np.array([Evil(evidence)]))
    with pytest.raises(ValueError, match=r"x\.npz cannot be read as an \.npz of plain arrays"):
        read_npz(tmp_path / "x.npz", "bad")
    assert read_npz(tmp_path / "x.npz", "good", "none").keys() == {"good"}
    np.savez(tmp_path / "y.npz", good=np.array({"a": np.arange(3)}), bad=np.array({"a": Evil(evidence)}))
    assert read_npz_object(tmp_path / "y.npz", "good")["a"].tolist() == [0, 1, 2]
    for name in ("bad", "none"):
        with pytest.raises(ValueError, match=f"y\\.npz has no object {name} of plain data"):
            read_npz_object(tmp_path / "y.npz", name)
    assert not evidence.exists()


def test_numpy_cannot_be_made_to_take_bytes_for_objects(tmp_path):
    """`numpy.ndarray(shape, "O", buffer)` would follow pointers that the file makes up."""
    path = tmp_path / "x.pkl"
    path.write_bytes(_named("numpy", "ndarray") + b"((I1\ntVO\nVAAAAAAAA\ntR.")
    with pytest.raises(ValueError, match="cannot be read as a pickle of plain data"):
        read_pickle(path)
    path.write_bytes(b"\x80\x02" + _named("numpy", "ndarray") + b"((I1\ntVf8\nt\x81.")
    with pytest.raises(ValueError, match="cannot be read as a pickle of plain data"):
        read_pickle(path)


def test_a_pickle_of_python_2(tmp_path):
    """As 3DPW's are: text is bytes there, and so is the content of an array."""
    path = tmp_path / "x.pkl"
    made = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntU\x01btR"
    kind = b"cnumpy\ndtype\n(U\x02f8I0\nI1\ntR(I3\nU\x01<NNNI-1\nI-1\nI0\ntb"
    path.write_bytes(made + b"(I1\n(I1\nt" + kind + b"I00\nU\x08\x00\x00\x00\x00\x00\x00\xf0?tb.")
    np.testing.assert_array_equal(read_pickle(path), [1.0])


@pytest.mark.parametrize(("shape", "listed"), [((9,), ["x"]), ((-1,), ["x"]), ((1,), b"AAAAAAAA")])
def test_an_array_of_objects_has_no_more_places_than_objects(tmp_path, shape, listed):
    """Numpy would take what lies in memory behind a list for objects."""

    class Forged:
        def __reduce__(self):
            make, arguments, state = np.array(["x"], dtype=object).__reduce__()
            return make, arguments, (state[0], shape, state[2], state[3], listed)

    path = tmp_path / "x.pkl"
    path.write_bytes(pickle.dumps(Forged(), protocol=2))
    with pytest.raises(ValueError, match="cannot be read as a pickle of plain data"):
        read_pickle(path)


@pytest.mark.parametrize(
    "content",
    [
        np.zeros(2, dtype=[("a", "f8"), ("b", "O")]),
        np.zeros(2, dtype=[("a", "f8")]),
        np.ma.zeros(3),
        int,
        range(3),
        UUID(int=5),
    ],
)
def test_only_arrays_of_numbers_and_words_are_plain(tmp_path, content):
    path = tmp_path / "x.pkl"
    path.write_bytes(pickle.dumps(content, protocol=2))
    with pytest.raises(ValueError, match="cannot be read as a pickle of plain data"):
        read_pickle(path)


@pytest.mark.parametrize(
    "content",
    [
        np.arange(6, dtype=">i4").reshape(2, 3).T,
        np.array(["a", "bcd"]),
        np.array([b"a", b"bcd"]),
        np.array([True, False]),
        np.float32(1.5),
        np.array(3.0),
        np.zeros((0, 3), dtype=np.complex64),
        np.array([[None, "x"], [{"a": 1.5}, [2]]], dtype=object),
        np.array({"loss": 0.5}, dtype=object),
        [1, (2.5, "x"), {"a": None, "b": [b"c", True]}, {1, 2}],
    ],
)
@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_plain_pickles_come_back_as_they_were(tmp_path, content, protocol):
    path = tmp_path / "x.pkl"
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    back = read_pickle(path)
    if isinstance(content, list):
        assert back == content
    else:
        assert back.dtype.newbyteorder("=") == content.dtype.newbyteorder("=")
        np.testing.assert_array_equal(back, content)


def test_arrays_that_were_read_can_be_pickled_again(tmp_path):
    (tmp_path / "x.pkl").write_bytes(pickle.dumps([np.arange(3), np.array([None, "x"])]))
    numbers, things = pickle.loads(pickle.dumps(read_pickle(tmp_path / "x.pkl")))
    assert type(numbers) is np.ndarray and numbers.tolist() == [0, 1, 2] and things.tolist() == [None, "x"]


@pytest.mark.parametrize("compress", [0, 3, ("gzip", 3), ("bz2", 3), ("xz", 3), ("lzma", 3)])
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_what_joblib_wrote(tmp_path, compress, protocol):
    """As 4D-Humans, PHALP and WHAM do."""
    frames = defaultdict(dict)
    frames["a.jpg"] = {
        "smpl": [{"body_pose": np.arange(18.0, dtype=np.float32).reshape(2, 3, 3), "betas": np.zeros((0, 10))}],
        "turned": np.arange(6).reshape(2, 3).T,
        "mixed": np.array([[None, "x"], [{"a": 1.5}, [np.arange(2)]]], dtype=object),
        "one": np.array(2.5),
        "score": np.float32(0.5),
    }
    joblib.dump(frames, tmp_path / "x.pkl", compress=compress, protocol=protocol)
    back = read_pickle(tmp_path / "x.pkl")["a.jpg"]
    expected = frames["a.jpg"]
    np.testing.assert_array_equal(back["smpl"][0]["body_pose"], expected["smpl"][0]["body_pose"])
    assert back["smpl"][0]["betas"].shape == (0, 10) and back["one"] == 2.5 and back["score"] == np.float32(0.5)
    np.testing.assert_array_equal(back["turned"], expected["turned"])
    assert back["mixed"][1, 0] == {"a": 1.5} and back["mixed"][1, 1][0].tolist() == [0, 1]
    content = (tmp_path / "x.pkl").read_bytes()
    (tmp_path / "x.pkl").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="cannot be read as a pickle of plain data"):
        read_pickle(tmp_path / "x.pkl")


def test_a_compressed_bomb_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(unpickle, "MAX_BYTES", 10_000)
    joblib.dump(np.zeros(100_000), tmp_path / "x.pkl", compress=9)
    with pytest.raises(ValueError, match="truncated, or decompresses to more than"):
        read_pickle(tmp_path / "x.pkl")


# `b` sets the attributes of the preceding object from a pair of dicts
CHANGES = (
    b"cnumpy\ndtype\n(N(dVtype\nI1\nstb.",
    b"cnumpy.core.multiarray\n_reconstruct\n(N(dV__doc__\nI1\nstb.",
    b"cnumpy.core.multiarray\nscalar\n(dVmade_up\nI1\nsb.",
    b"c_codecs\nencode\n(N(dV__defaults__\n(I1\ntstb.",
    b"cchumpy\nCh\n(N(dVmade_up\nI1\nstb.",
    b"ccollections\ndefaultdict\n(N(dVmade_up\nI1\nstb.",
)


@pytest.mark.parametrize("attack", CHANGES)
def test_a_pickle_cannot_change_what_reads_pickles(tmp_path, attack):
    before = {name: dict(vars(value)) for name, value in vars(unpickle).items() if hasattr(value, "__dict__")}
    (tmp_path / "x.pkl").write_bytes(attack)
    with pytest.raises(ValueError, match="cannot be read as a pickle of plain data"):
        read_pickle(tmp_path / "x.pkl")
    assert before == {name: dict(vars(value)) for name, value in vars(unpickle).items() if hasattr(value, "__dict__")}


def test_numbers_are_taken_from_bytes_alone(tmp_path):
    """Those of an array that the pickle fills anew afterwards would lie in freed memory."""

    class Aliased:
        def __reduce__(self):
            return np.frombuffer(b"").__reduce_ex__(5)[0], (np.zeros(4), np.dtype("f8"), (4,), "C")

    (tmp_path / "x.pkl").write_bytes(pickle.dumps(Aliased(), protocol=5))
    with pytest.raises(ValueError, match="an array whose data is not bytes"):
        read_pickle(tmp_path / "x.pkl")


def test_an_smpl_file_cannot_make_numpy_follow_pointers(tmp_path):
    """A type of our own making whose objects are the bytes of the file."""
    forged = b"cnumpy\ndtype\n(VV8\nI0\nI1\ntR(I3\nV|\n(VO\nI8\ntN(dI8\nI1\nI63\ntb"
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntVb\ntR(I1\n(I1\nt" + forged
    raw = struct.pack("<Q", 0x4141414141414141)
    (tmp_path / "x.pkl").write_bytes(b"(dVv_template\n" + array + b"I00\nC\x08" + raw + b"tbs.")
    with pytest.raises(ValueError, match="arrays of the type 'V8'"):
        load_body(tmp_path / "x.pkl")
