"""The codes of files that cannot be read, and of texts that do not fit the schema."""

from __future__ import annotations

from netdef.diagnostics.codes.page import Page

PAGES = (
    Page(
        "ND0010",
        "No such file",
        "The path that was given, or that a file names, leads nowhere. Paths are looked up from the folder in\n"
        "which the command runs, as in Caffe, so the same command may fail in another folder.\n\n"
        "Look at the spelling, or change to the folder that the paths were written for.\n",
    ),
    Page(
        "ND0011",
        "A folder where a file is needed",
        "The path leads to a folder. Name a file in it:\n\n    netdef check models/lenet/train.prototxt\n",
    ),
    Page(
        "ND0012",
        "No permission to read the file",
        "The system does not let this user read the file. Look at its owner and mode with `ls -l`, and ask\n"
        "for permission or make a copy that is yours.\n",
    ),
    Page(
        "ND0013",
        "The file cannot be read",
        "The system gave an error while the file was opened or read: a broken disk, a lost network drive, or\n"
        "a path that can be none (with a zero byte in it, say). The message holds the system's own words.\n",
    ),
    Page(
        "ND0014",
        "Not a text file",
        "Nets and solvers are texts. This file has a zero byte, which texts never have: it is probably a\n"
        "weight file, an image, or a text saved as UTF-16.\n\n"
        "Weights go in by `--weights file.caffemodel`. A text in UTF-16 is to be saved as UTF-8.\n",
    ),
    Page(
        "ND0015",
        "Not UTF-8",
        "A text file is read as UTF-8. In comments, bytes of other encodings are let pass; in names and\n"
        "values they would mean different things on different machines, so they are refused.\n\n"
        "Save the file as UTF-8 (`iconv -f GBK -t UTF-8 old.prototxt > new.prototxt`).\n",
    ),
    Page(
        "ND0201",
        "Unknown field",
        "Each block knows a fixed set of fields. A name that is none of them is most often a slip of the pen,\n"
        "or stands in the wrong block:\n\n"
        "    layer {\n"
        '      name: "conv1"\n'
        '      type: "Convolution"\n'
        "      kernel_size: 3        # belongs into convolution_param { }\n"
        "    }\n\n"
        "Protobuf would stop here too. The diagnostic names the nearest known field, or the block that has it.\n"
        "If a brace was closed too late, the fields after it seem to belong to the block before.\n",
    ),
    Page(
        "ND0202",
        "A value of the wrong kind",
        "A field takes values of one kind. Texts stand in quotes, numbers, names of choices and true or false\n"
        "do not; whole numbers have no point:\n\n"
        '    name: "conv1"       # not name: conv1\n'
        '    num_output: 64      # not "64", not 64.0\n'
        "    bias_term: false    # not no\n\n"
        "`netdef check --fix` mends the cases where only one thing can be meant.\n",
    ),
    Page(
        "ND0203",
        "A block where a value is due, or the other way round",
        "Some fields hold one value, some hold a block of further fields in braces:\n\n"
        '    weight_filler { type: "xavier" }    # not weight_filler: "xavier"\n'
        '    top: "conv1"                        # not top { "conv1" }\n',
    ),
    Page(
        "ND0204",
        "Unknown choice",
        "The field takes one of a few names, written in capitals and without quotes, or their numbers:\n\n"
        "    pooling_param { pool: MAX }    # not max, not MAXIMUM\n\n"
        "The diagnostic lists the names that there are.\n",
    ),
    Page(
        "ND0205",
        "A number that the field cannot hold",
        "Whole numbers are stored in 32 bits (seeds and sizes of blobs in 64): from -2147483648 to 2147483647,\n"
        "or from 0 to 4294967295 where only counts make sense. Sizes such as `num_output` are never negative:\n\n"
        "    num_output: -1    # holds 0 to 4294967295\n",
    ),
    Page(
        "ND0206",
        "Given twice",
        "The field takes one value, and has two. Nobody can know which was meant, so neither Caffe nor netdef\n"
        "chooses:\n\n"
        '    layer { name: "conv1" name: "conv2" }\n\n'
        "Take one away. Fields that take many values (`bottom`, `top`, `param`, `include` …) may be repeated.\n",
    ),
    Page(
        "ND0207",
        "A required field is missing",
        "A few fields have no default and must be given, such as both limits of a `Clip`:\n\n"
        '    layer { name: "c" type: "Clip" bottom: "x" top: "y" clip_param { min: 0 max: 6 } }\n',
    ),
    Page(
        "ND0208",
        "A text that is not UTF-8",
        "An escape such as `\\xff` puts a single byte into a text, and the bytes together must be UTF-8. Write\n"
        "the character itself, or `\\u` and four hex digits:\n\n"
        '    name: "caf\\u00e9"    # not "caf\\xe9"\n',
    ),
    Page(
        "ND0209",
        "A list for a field that takes one value",
        "`[ … ]` is short for a repeated field. A field that takes one value takes no list:\n\n"
        "    convolution_param { kernel_size: [3, 5] }    # fine, kernel_size may be repeated\n"
        "    pooling_param { kernel_size: [3, 5] }        # one value: use kernel_h and kernel_w\n",
    ),
    Page(
        "ND0210",
        "An extension name",
        "Names in square brackets (`[some.package.field]`) are protobuf's extensions and Any messages. The\n"
        "schema of nets and solvers has none.\n",
    ),
    Page(
        "ND0220",
        "Unknown type of an old layer",
        "`layers { … }` is the form of 2013 and 2014. Its types are names in capitals without quotes\n"
        '(`type: CONVOLUTION`), or words in an inner `layer` (`type: "conv"`), and there are only about forty.\n'
        "Layers that are younger, and those of forks, are written in today's form:\n\n"
        '    layer { name: "bn1" type: "BatchNorm" bottom: "x" top: "x" }\n',
    ),
    Page(
        "ND0221",
        "A setting that an old layer has no use for",
        "The layers of 2013 kept the settings of all types in one list, so that any could be written for any\n"
        'type. This one has no meaning for the layer\'s type (`kernelsize` in a "relu"), and is left out, as\n'
        "Caffe leaves it out. Take it away, or look whether the type is the one you meant.\n",
    ),
    Page(
        "ND0222",
        "A padding layer in the wrong place",
        'The "padding" layers of 2013 became a setting of the layer behind them. That works where a "conv" or\n'
        '"pool" layer reads the padding layer, and reads nothing else. Put the pad into the layers that need\n'
        "it, and take the padding layer away.\n",
    ),
    Page(
        "ND0223",
        "Old and new layers in one net",
        "The net has both `layers` (2014) and `layer` (today). netdef takes them in the order of the text;\n"
        "Caffe refuses such a net. `netdef upgrade net.prototxt` writes them all as `layer`.\n",
    ),
    Page(
        "ND0224",
        "The update rule given twice",
        '`solver_type: ADAM` is the old way to write `type: "Adam"`. A solver with both is ambiguous, and\n'
        "Caffe refuses it, too. Keep `type`.\n",
    ),
)
