# SPDX-License-Identifier: Apache-2.0
"""Files of others are data: what they hold comes back as it was, and whatever they try to run is not run."""

import os
import pickle

import numpy as np
import pytest
from miniatures import write_sequence

from unipose_hf.data.plain_files import read_npz, read_npz_object, read_pickle
from unipose_hf.data.sources import threedpw


def _named(module, name):
    return f"c{module}\n{name}\n".encode()


# What runs a shell command when an ordinary unpickler reads it.
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
    with pytest.warns(UserWarning, match=r"^1 of 3DPW skipped; the first: .*walk_00\.pkl .*which is no plain data"):
        assert list(threedpw.read_threedpw(tmp_path, "test")) == []
    assert not evidence.exists()
    pickle.loads(path.read_bytes())
    assert evidence.exists()  # so this was an attack indeed


class Evil:
    """An object that makes a folder when it is unpickled."""

    def __init__(self, folder):
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


def test_an_object_among_good_data_is_refused(tmp_path):
    evidence = tmp_path / "evidence"
    write_sequence(tmp_path, genders=["m", Evil(evidence)])
    with pytest.warns(UserWarning, match="names posix.mkdir, which is no plain data"):
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
        dict,
        range(3),
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
