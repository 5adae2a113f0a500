"""Floor 6: where batches come from: databases, HDF5 files, image lists, fillers, arrays; transforms and prefetch.

`netdef.data.source.open_source` opens a layer's source, `netdef.data.loader.Loader` reads it ahead in threads,
`netdef.data.probe.probe` tells the shapes of its tops. Nothing is imported here, so that the probe stays light.
"""
