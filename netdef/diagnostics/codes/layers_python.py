"""ND0480 to ND0485: HDF5Output, and layers written in Python."""

from netdef.diagnostics.codes.page import Page

PAGES = (
    Page(
        "ND0480",
        "an HDF5Output layer without a file",
        """
`file_name` names the HDF5 file that the layer writes; its folder must be there.

    layer { name: "save" type: "HDF5Output" bottom: "fc7" bottom: "label"
            hdf5_output_param { file_name: "features.h5" } }
""",
    ),
    Page(
        "ND0481",
        "blobs that HDF5Output cannot write side by side",
        """
The layer writes a row of its first bottom beside a row of its second, each in Caffe's four axes: both have as many
rows, and none more than four axes. Flatten or Reshape what has more.
""",
    ),
    Page(
        "ND0482",
        "a Python layer without a class",
        """
`module` is the Python module (`losses` for `losses.py`), `layer` the class in it.

    layer { name: "loss" type: "Python" bottom: "fc" bottom: "label" top: "loss" loss_weight: 1
            python_param { module: "losses" layer: "FocalLoss" param_str: "{'gamma': 2}" } }
""",
    ),
    Page(
        "ND0483",
        "the class of a Python layer cannot be used",
        """
The module could not be imported, has no such class, or the class is of neither kind: a `torch.nn.Module`, called with
the bottoms and giving a tensor for each top, or a class with pycaffe's methods, derived from `netdef.pycaffe.Layer`.

    class Double(torch.nn.Module):
        def forward(self, x):
            return 2 * x

The tensors that a module gives are of float32 like its bottoms, and on their device.

Modules are looked for on Python's path (PYTHONPATH) and in the working folder. A file written for pycaffe needs one
line changed: `import netdef.pycaffe as caffe`.
""",
    ),
    Page(
        "ND0484",
        "the code of a Python layer failed",
        """
The user's class raised an exception; the message tells it and the line. To find the shapes of the tops the class is
run once with zeros: `setup` and `reshape`, or the module's `forward`.

The same code stands for a top whose height, say, is another than that of the first run: the net was made for those
sizes, and only the number of rows may change. Where images have sizes of their own, train by a script with
`netdef.pycaffe`'s solvers, which fit every layer to every batch, as Caffe does. It also stands for a layer that wrote
into a bottom's `data`, with which others compute: let the layer work in place (top and bottom of one name), or copy.
""",
    ),
    Page(
        "ND0485",
        "a Python layer was not run",
        """
A `Python` layer names code that runs on your machine with your rights. A net from elsewhere may name any code that is
on your Python's path, so nothing of it is imported unless you say so:

    netdef train solver.prototxt --allow-python

    with netdef.allow_python():
        net = netdef.load_net("net.prototxt")

Without consent a net can be checked all the same; the shapes behind the layer are unknown then.
""",
    ),
)
