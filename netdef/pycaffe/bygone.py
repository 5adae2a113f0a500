"""What took the place of pycaffe's names of 2013 and 2014, which later versions of Caffe dropped?"""

from __future__ import annotations

from typing import NoReturn

from netdef.pycaffe import mode

_PHASE = "a net has the phase that it is made with: Net(file, weights, caffe.TEST)"
_MODE = "caffe.set_mode_cpu() and set_mode_gpu() are for all nets that are made afterwards"
_TRANSFORMER = "caffe.io.Transformer prepares images: see its set_mean, set_raw_scale, set_channel_swap and preprocess"

OF_MODULE = {
    "set_phase_test": _PHASE,
    "set_phase_train": _PHASE,
}
OF_NET = {
    **OF_MODULE,
    "set_mode_cpu": _MODE,
    "set_mode_gpu": _MODE,
    "set_device": "caffe.set_device(number) chooses the GPU of all nets that are made afterwards",
    **dict.fromkeys(("set_mean", "set_input_scale", "set_raw_scale", "set_channel_swap"), _TRANSFORMER),
    **dict.fromkeys(("preprocess", "deprocess"), _TRANSFORMER),
}


def of_module(name: str) -> NoReturn:
    """Refuse a name that the module `caffe` once had.

    Raises:
        NetdefError: ND1001, with what to use; AttributeError for any other name.
    """
    if name in OF_MODULE:
        mode.refuse(name, OF_MODULE[name])
    raise AttributeError(f"module 'netdef.pycaffe' has no attribute {name!r}")


def of_net(net: object, name: str) -> NoReturn:
    """Refuse a method that pycaffe's Net once had. Raises as `of_module`."""
    if name in OF_NET:
        mode.refuse(f"Net.{name}", OF_NET[name])
    raise AttributeError(f"{type(net).__name__!r} object has no attribute {name!r}")
