"""Caffe's messages, as pycaffe names the module."""

from netdef.pycaffe.proto import caffe_pb2

__all__ = ["caffe_pb2"]
