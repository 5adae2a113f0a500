"""Is the name that was meant found, and nothing where none was?"""

import pytest

from netdef.schema.suggest import certain, nearest

FIELDS = ("bottom", "top", "name", "type", "kernel_size", "kernel_h", "kernel_w", "stride", "pad", "num_output")


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        pytest.param("botom", "bottom", id="letter missing"),
        pytest.param("bottomm", "bottom", id="letter too many"),
        pytest.param("botton", "bottom", id="letter wrong"),
        pytest.param("bototm", "bottom", id="letters swapped"),
        pytest.param("kernelsize", "kernel_size", id="underscore"),
        pytest.param("KernelSize", "kernel_size", id="case"),
        pytest.param("tpye", "type", id="short word, swapped"),
        pytest.param("kernel_x", "kernel_h", id="earliest of equals"),
        pytest.param("momentum", None, id="nothing near"),
        pytest.param("x", None, id="one letter"),
        pytest.param("", None, id="empty"),
    ],
)
def test_nearest(word, meant):
    assert nearest(word, FIELDS) == meant


@pytest.mark.parametrize(
    ("word", "meant"),
    [("botom", "bottom"), ("kernel_x", None), ("numoutptu", "num_output"), ("num_outputting", None)],
)
def test_certain_only_without_a_rival(word, meant):
    assert certain(word, FIELDS) == meant


def test_the_word_itself_is_no_suggestion():
    assert nearest("pad", ["pad"]) is None
