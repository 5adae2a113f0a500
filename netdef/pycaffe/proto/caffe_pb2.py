"""Caffe's messages under its module's name: ``from netdef.pycaffe.proto import caffe_pb2``.

They are netdef's (protobuf package `netdef`, not `caffe`): Caffe's names and field numbers, with forks' fields beside
them. Files that Caffe wrote are read, and the other way round.
"""

from netdef.schema.netdef_pb2 import *  # noqa: F403 - all messages and enum values, whatever they are
