"""What do the codes ND05xx (data sources) mean?"""

from __future__ import annotations

from netdef.diagnostics.codes.page import Page

PAGES = (
    Page(
        "ND0501",
        "a data source is not there",
        """\
A relative path is looked for in the working folder, as Caffe does, then in the folder of the file
that names it. The message lists both.

    data_param { source: "examples/mnist/train_lmdb" backend: LMDB batch_size: 64 }

Where a net is only checked or summarised, this is a warning: sizes that the data would tell stay
unknown, and `--shape data=64x1x28x28` supplies them. Training needs the data: make it, or mend the
path.""",
    ),
    Page(
        "ND0502",
        "not a database of the kind that was asked for",
        """\
An LMDB database is a folder with a file `data.mdb`, a LevelDB database one with a file `CURRENT`.
`source` names the folder, not the file in it.

    source: "train_lmdb/data.mdb"    # wrong
    source: "train_lmdb"             # right

Where the folder is right, its content is none that the library knows: another kind of file, or a
broken download.""",
    ),
    Page(
        "ND0503",
        "a database is cut short or damaged",
        """\
The database's own table of contents speaks of more than the file holds, or leads nowhere. Mostly a
copy broke off: compare the size with the original's, copy it again, or make the database anew.
Nothing is read from such a file, as a missing page would end the whole process.""",
    ),
    Page(
        "ND0504",
        "a data source is empty",
        """\
The database has no records, the list no lines, or the HDF5 file no rows; a batch can't be made from
nothing. Perhaps the program that should fill it failed, or it writes to another place.""",
    ),
    Page(
        "ND0505",
        "LevelDB needs a package that is not installed",
        """\
netdef reads LevelDB databases through plyvel, which is not installed with it:

    pip install plyvel

Or convert the database to LMDB once, with Caffe's tools, and write `backend: LMDB`.""",
    ),
    Page(
        "ND0506",
        "LMDB read as LevelDB, or the other way round",
        """\
`backend` says which of the two a database is, and LEVELDB is what Caffe takes where nothing is
said.

    data_param { source: "train_lmdb" batch_size: 64 }                  # read as LEVELDB
    data_param { source: "train_lmdb" batch_size: 64 backend: LMDB }""",
    ),
    Page(
        "ND0507",
        "a batch is smaller than the number of processes",
        """\
`batch_size` is that of all processes together: each takes its part, so that the results don't
depend on their number. With fewer rows than processes some would have nothing to do.""",
    ),
    Page(
        "ND0510",
        "a record is damaged, or no Datum",
        """\
Each record of a Data layer's database is a `Datum` message: channels, height, width, and as many
bytes in `data` or numbers in `float_data` as these multiply to; or an image file in `data` with
`encoded: true`. The message names the record's key and what doesn't fit. `netdef data inspect DB`
lists the first records.

A database made for another framework holds other messages: make one with `netdef data import`.""",
    ),
    Page(
        "ND0511",
        "images of one batch differ in shape",
        """\
The images of a batch lie in one array, so they need the same channels, height and width.

- sizes differ: set `transform_param { crop_size: N }`, or resize them: `netdef data import
  --resize-height 256 --resize-width 256`, `new_height` and `new_width` in ImageData;
- channels differ (grey images among coloured ones): set `force_color: true` or `force_gray: true`
  for encoded records.""",
    ),
    Page(
        "ND0512",
        "a label is out of range",
        """\
A label counts the classes from 0: a net with 10 outputs takes 0 to 9. The message names the first
record that has another one. Caffe reads beyond the scores in such a case, and trains on rubbish.

Labels that begin with 1 are the common cause. Give the last layer one output more, or make the
labels anew; labels that mean "don't care" belong in `loss_param { ignore_label: … }`.

The same holds for the indices of Embed (0 to `input_dim` - 1) and BatchReindex (the rows of its first bottom).""",
    ),
    Page(
        "ND0513",
        "an image cannot be decoded",
        """\
The bytes are no image that OpenCV knows (JPEG, PNG, BMP, TIFF, WebP …), they are damaged, or a
channel has more than 8 bits, which Caffe's transforms don't take. Open the file in an image viewer;
convert 16-bit images to 8 bits.""",
    ),
    Page(
        "ND0520",
        "an image is smaller than the crop",
        """\
`crop_size` cuts a square out of an image; it can't be larger than the image's height or width.

    transform_param { crop_size: 227 }    # and records of 3x200x200

Make the crop smaller, or make the images larger: `netdef data import --resize-height 256
--resize-width 256`.""",
    ),
    Page(
        "ND0521",
        "a mean file cannot be read",
        """\
`mean_file` names a BlobProto of 1 x C x H x W numbers, as Caffe's compute_image_mean and `netdef
data mean` write it. A `.npy` file is none; its per-channel means can stand in the prototxt instead:
`mean_value: 104 mean_value: 117 mean_value: 123`.""",
    ),
    Page(
        "ND0522",
        "the mean does not fit the images",
        """\
A mean image is subtracted before the crop, so it has the size of the whole record, not of the crop.
Of `mean_value` there is one for all channels, or one for each.

    transform_param { crop_size: 227 mean_file: "mean_227.binaryproto" }    # records are 3x256x256

Make the mean from the very database: `netdef data mean train_lmdb mean.binaryproto`.""",
    ),
    Page(
        "ND0530",
        "a line of an image list has no label",
        """\
Each line of an image list is a path, a space, and a whole number:

    cats/0001.jpg 0
    dogs/the big one.jpg 1

The last space parts the two, so paths may hold spaces; labels such as `1.0` or `cat` are refused.""",
    ),
    Page(
        "ND0531",
        "an image file cannot be read",
        """\
`root_folder` is put before each path of the list as it is; it needs a `/` at its end.

    image_data_param { source: "list.txt" root_folder: "/data/images/" batch_size: 32 }

The message names the list's line and the path that was tried.""",
    ),
    Page(
        "ND0532",
        "`rand_skip` is larger than the list",
        """\
`rand_skip: N` leaves out fewer than N images at the start, by chance. There must be more images
than that.""",
    ),
    Page(
        "ND0533",
        "a window file is damaged",
        """\
A window file lists for each image: `#` and its number, the path, channels, height, width, the number
of windows, and for each window label, overlap with the nearest object, x1, y1, x2, y2 (pixels, the
last ones within the window):

    # 0
    images/street.jpg
    3 480 640
    2
    7 0.91 10 20 110 220
    0 0.05 300 20 380 90

Each window lies in its image.""",
    ),
    Page(
        "ND0540",
        "an HDF5 file cannot be read",
        """\
`hdf5_data_param { source: … }` names a text file that lists HDF5 files, one a line, not an HDF5
file itself. The files' paths are looked for in the working folder, in the folder of the prototxt,
and beside the list.

    printf 'train_0.h5\\ntrain_1.h5\\n' > train_list.txt""",
    ),
    Page(
        "ND0541",
        "a data set is missing in an HDF5 file",
        """\
Each top of an HDF5Data layer is read from the data set of its name, in every file of the list.

    top: "data" top: "label"    # the file needs /data and /label

The message lists what the file has.""",
    ),
    Page(
        "ND0542",
        "the rows of HDF5 data sets don't fit together",
        """\
All data sets of a file have the same number of rows (the first axis), as row 7 of one goes with row
7 of the others. All files of a list have rows of the same sizes.""",
    ),
    Page(
        "ND0543",
        "an HDF5 data set does not hold rows of numbers",
        """\
A top takes float or integer data sets with at least one axis, the first of which counts the rows.
Text, references and single numbers can't be fed to a net.""",
    ),
    Page(
        "ND0544",
        "an HDF5 file is larger than the memory",
        """\
A file is loaded whole, as in Caffe. Split it into several and list them all: only one is in memory
at a time.""",
    ),
    Page(
        "ND0550",
        "arrays don't fit a MemoryData layer",
        """\
The images are (n, channels, height, width) with the sizes of `memory_data_param`, with n labels
beside them, and n is a multiple of `batch_size`. Cut off the rest, or choose a batch size that
divides n.""",
    ),
    Page(
        "ND0551",
        "a MemoryData layer has no data",
        """\
A MemoryData layer reads arrays that a program hands over before the first forward:
`source.reset(images, labels)`, or `net.set_input_arrays(images, labels)` in the pycaffe face. From
the command line use Data, HDF5Data or ImageData.""",
    ),
    Page(
        "ND0560",
        "this layer has no source that netdef reads",
        """\
The layer is known, so that a net with it can be checked and exported, but its data can't be read.
Use a Data, ImageData or HDF5Data layer for training.""",
    ),
    Page(
        "ND0580",
        "the output exists already",
        """\
A database is never written over or added to. Remove the old one, or choose another name.""",
    ),
    Page(
        "ND0581",
        "a file or database cannot be written",
        """\
The system refused: no space, no permission, or the folder that should hold it isn't there. Nothing
half-written is left: the output gets its name only when it is complete.""",
    ),
    Page(
        "ND0582",
        "an unknown kind of image file",
        """\
`--encode-type` takes what OpenCV can write: jpg, png, bmp, webp …""",
    ),
    Page(
        "ND0590",
        "a saved position in the data cannot be used",
        """\
A snapshot keeps for each data layer how many batches were read and with which seed. Here one of the
numbers is missing or is none: the file was changed, or it is of another version. Remove the entry
to begin the data anew.""",
    ),
)
