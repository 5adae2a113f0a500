"""The codes of floor 1: what can be wrong with the text itself, before anyone asks what it means."""

from __future__ import annotations

from netdef.diagnostics.codes.page import Page

PAGES = (
    Page(
        "ND0101",
        "something stands where it cannot",
        """\
A prototxt is a row of fields: `name: value`, or `name { fields }`. Something else stood here, mostly a second
value behind a first one, a bracket without a name before it, or a name in quotes as in JSON:

    kernel_size: 3 3        # two values
    "name": "conv1"         # a name in quotes

Repeat the field, or write a list; and take the quotes off names:

    kernel_size: 3  kernel_size: 3
    kernel_size: [3, 3]
    name: "conv1"
""",
    ),
    Page(
        "ND0102",
        "a string is not closed",
        """\
A string begins and ends with the same plain quote, " or ', on one line:

    name: "conv1            # the end is missing
    name: “conv1”           # a word processor's quotes

Write `name: "conv1"`. A long text can be split; strings that follow each other are joined:

    source: "/a/very/long/"
            "path"
""",
    ),
    Page(
        "ND0103",
        "a backslash in a string begins no escape",
        r"""In a string a backslash begins one of `\n \t \r \a \b \f \v \\ \' \" \?`, an octal byte `\0` to `\377`, a
hexadecimal byte `\x41`, or a character by its number, `\u00e9` or `\U0001f600`. Windows paths are the usual victims:

    source: "C:\data\train_lmdb"

Write the path with slashes, which Windows takes as well, or double each backslash:

    source: "C:/data/train_lmdb"
    source: "C:\\data\\train_lmdb"
""",
    ),
    Page(
        "ND0104",
        "a number is written wrongly",
        """\
Numbers look like `3`, `-0.5`, `.7`, `1.`, `1e-4`, `1e-4f`, `0x1F`. A 0 in front makes an integer octal, so that `08` is
none and `010` is 8. A number ends before the next name with a space or a line break:

    pad: 08                 # write 8
    pad: 1kernel_size: 3    # write pad: 1 kernel_size: 3
    base_lr: 0,01           # the point is a point: 0.01
""",
    ),
    Page(
        "ND0105",
        "a character that has no place here",
        """\
Outside strings and comments a prototxt is made of ASCII letters, digits, `_` and the signs `: { } < > [ ] , ; - . /`.

    base_lr = 0.01          # `=` instead of `:`
    // a comment            # comments start with `#`

Invisible characters come with text that was copied from web pages or PDF files: a no-break space (U+00A0) looks like
a space and is none. `netdef check --fix` replaces these.
""",
    ),
    Page(
        "ND0106",
        "a colon is missing before a value",
        """\
Between a name and a number, string, word or list of these stands a colon; only before `{`, `<` and lists of messages
may it be left out.

    num_output 20           # write num_output: 20
    convolution_param { num_output: 20 }    # fine

`netdef check --fix` puts the colon in.
""",
    ),
    Page(
        "ND0107",
        "a value is missing",
        """\
A name stands alone, or nothing comes after its colon:

    pool:                   # MAX or AVE?
    kernel_size: 2

Give the field a value, or remove it to get its default.
""",
    ),
    Page(
        "ND0108",
        "a bracket is not closed",
        """\
Every `{`, `<` and `[` needs its `}`, `>` or `]`. The file, or the block around it, ended before.

    layer {
      name: "conv1"
      convolution_param {
        num_output: 20
    }                       # closes convolution_param; the layer stays open

Where the lines are indented by their depth, the message names the bracket that most likely lacks its end. `netdef fmt`
keeps files indented so.
""",
    ),
    Page(
        "ND0109",
        "a bracket closes nothing",
        """\
There is one `}`, `>` or `]` more than was opened before it. Either it is too much, or the line that opened its
block was removed:

    # layer {
      name: "conv1"
    }

Comment out or remove a block from its name to its closing bracket.
""",
    ),
    Page(
        "ND0110",
        "a bracket is closed by one of another kind",
        """\
`{` is closed by `}`, and `<` by `>`:

    param < lr_mult: 1 }

Write `param { lr_mult: 1 }`; the two kinds mean the same, and most files use braces. `netdef check --fix` exchanges
the closing one.
""",
    ),
    Page(
        "ND0111",
        "a list's commas are wrong",
        """\
The values of a list have one comma between each two, and none after the last:

    dim: [1 3, 227, 227,]   # write dim: [1, 3, 227, 227]

A field may also be repeated instead: `dim: 1 dim: 3 dim: 227 dim: 227`.
""",
    ),
    Page(
        "ND0112",
        "blocks are nested too deep",
        """\
Messages and lists may stand inside each other 100 deep, as in protobuf's own readers. A net needs four or five.
Mostly a closing bracket is missing in a part of the file that is repeated, or the file was made by a faulty program.
""",
    ),
    Page(
        "ND0113",
        "the rest of a file was not looked at",
        """\
After 50 syntax errors, or a long stretch that is no protobuf text, netdef stops reading. Mend the first errors
and check again. Is it the right file?
""",
    ),
    Page(
        "ND0114",
        "a file is binary, not text",
        """\
There are bytes that no text has. A `.caffemodel`, `.solverstate` or `.binaryproto` is binary; a net and a solver are
text files, mostly named `.prototxt`. Weights are given with `--weights FILE`.
""",
    ),
    Page(
        "ND0115",
        "a file is too long",
        """\
The text has more than half a million words and signs, many times what the largest nets have; reading it would take all
memory and no net comes of it. Weights don't belong in a text file: put them in a `.caffemodel`.
""",
    ),
)
