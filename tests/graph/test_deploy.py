import pytest

from netdef.diagnostics import Source
from netdef.graph import Options, load
from netdef.graph.deploy import deploy, removed
from netdef.ir import dump, verify

DATA = """
layer { name: "data" type: "MemoryData" top: "data" top: "label"
        memory_data_param { batch_size: 4 channels: 3 height: 8 width: 8 } }
"""
FC = 'layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc" inner_product_param { num_output: 5 } }\n'
INPUT = '  %data: 4x3x8x8 = Input "data"()\n'
SCORES = '  %fc: 4x5 = InnerProduct "fc"(%data) fc.weight[5x192] fc.bias[5]\n'


def layer(kind, bottoms, tops, name="", more=""):
    blobs = " ".join(f'bottom: "{b}"' for b in bottoms.split()) + " " + " ".join(f'top: "{t}"' for t in tops.split())
    return f'layer {{ name: "{name or kind.lower()}" type: "{kind}" {blobs} {more} }}\n'


def graph(text):
    return load(Source("net.prototxt", text), Options(phase="TEST"))


def deployed(text):
    return verify(deploy(graph(text)))


def text_of(body, *outputs):
    return f'graph "" TEST\n{body}  return {", ".join(f"%{id}" for id in outputs)}\n'


CASES = {
    "SoftmaxWithLoss becomes a Softmax; label, loss and accuracy go": (
        DATA + FC + layer("Accuracy", "fc label", "acc") + layer("SoftmaxWithLoss", "fc label", "loss"),
        text_of(INPUT + SCORES + '  %prob: 4x5 = Softmax "prob"(%fc)\n', "prob"),
    ),
    "the second top of the loss names the prediction": (
        DATA + FC + layer("SoftmaxWithLoss", "fc label", "loss p"),
        text_of(INPUT + SCORES + '  %p: 4x5 = Softmax "p"(%fc)\n', "p"),
    ),
    "a Softmax that is there serves": (
        DATA + FC + layer("Softmax", "fc", "out", "soft") + layer("SoftmaxWithLoss", "fc label", "loss"),
        text_of(INPUT + SCORES + '  %out: 4x5 = Softmax "soft"(%fc)\n', "out"),
    ),
    "a taken name is not taken twice": (
        DATA + FC.replace('"fc"', '"prob"') + layer("SoftmaxWithLoss", "prob label", "loss", "softmax"),
        text_of(
            INPUT + SCORES.replace("fc", "prob") + '  %softmax: 4x5 = Softmax "softmax"(%prob)\n',
            "softmax",
        ),
    ),
    "SigmoidCrossEntropyLoss becomes a Sigmoid": (
        DATA + FC + layer("SigmoidCrossEntropyLoss", "fc fc", "loss"),
        text_of(INPUT + SCORES + '  %prob: 4x5 = Sigmoid "prob"(%fc)\n', "prob"),
    ),
    "EuclideanLoss leaves what it judges, whichever side that is": (
        DATA
        + layer("Flatten", "data", "flat")
        + FC.replace("num_output: 5", "num_output: 192")
        + layer("EuclideanLoss", "flat fc", "loss"),
        text_of(INPUT + '  %fc: 4x192 = InnerProduct "fc"(%data) fc.weight[192x192] fc.bias[192]\n', "fc"),
    ),
    "losses that help the training of the last one go with their branches": (
        DATA
        + layer("InnerProduct", "data", "aux", "aux", "inner_product_param { num_output: 5 }")
        + layer("SoftmaxWithLoss", "aux label", "loss1", "loss1", "loss_weight: 0.3")
        + FC
        + layer("SoftmaxWithLoss", "fc label", "loss2", "loss2"),
        text_of(INPUT + SCORES + '  %prob: 4x5 = Softmax "prob"(%fc)\n', "prob"),
    ),
    "losses of the same weight all count": (
        DATA
        + layer("InnerProduct", "data", "side", "side", "inner_product_param { num_output: 5 }")
        + layer("SoftmaxWithLoss", "side label", "loss1", "loss1")
        + FC
        + layer("SoftmaxWithLoss", "fc label", "loss2", "loss2"),
        text_of(
            INPUT
            + '  %side: 4x5 = InnerProduct "side"(%data) side.weight[5x192] side.bias[5]\n'
            + SCORES
            + '  %prob: 4x5 = Softmax "prob"(%side)\n  %loss2: 4x5 = Softmax "loss2"(%fc)\n',
            "prob",
            "loss2",
        ),
    ),
    "metrics alone leave what they judge": (
        DATA + FC + layer("Accuracy", "fc label", "acc"),
        text_of(INPUT + SCORES, "fc"),
    ),
    "silenced branches go": (
        DATA + FC + layer("ReLU", "fc", "dead") + layer("Silence", "dead label", "") + layer("TanH", "fc", "out"),
        text_of(INPUT + SCORES + '  %out: 4x5 = TanH "tanh"(%fc)\n', "out"),
    ),
    "a deploy net stays as it is": (
        'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 4 dim: 3 dim: 8 dim: 8 } } }'
        + FC
        + layer("ReLU", "fc", "fc")
        + layer("Softmax", "fc", "prob"),
        text_of(
            INPUT
            + '  %fc@fc: 4x5 = InnerProduct "fc"(%data) fc.weight[5x192] fc.bias[5]\n'
            + '  %fc: 4x5 = ReLU "relu"(%fc@fc)\n  %prob: 4x5 = Softmax "softmax"(%fc)\n',
            "prob",
        ),
    ),
}


@pytest.mark.parametrize(("text", "expected"), CASES.values(), ids=CASES)
def test_deploy(text, expected):
    assert dump(deployed(text)) == expected


def test_a_siamese_net_gives_both_features():
    net = deployed(DATA + FC + layer("ReLU", "fc", "twin", "twin") + layer("ContrastiveLoss", "fc twin label", "loss"))
    assert [blob.id for blob in net.outputs] == ["fc", "twin"]


PAIR = DATA.replace("channels: 3", "channels: 6") + layer("Slice", "data", "x y", "parts", "slice_param { axis: 1 }")


def tower(bottom, top):
    return (
        (
            layer(
                "Convolution",
                bottom,
                f"c{top}",
                "",
                'param { name: "w" } convolution_param { kernel_size: 3 num_output: 4 }',
            )
            + layer("ReLU", f"c{top}", f"c{top}", f"r{top}")
            + layer(
                "InnerProduct",
                f"c{top}",
                top,
                "",
                'param { name: "v" } inner_product_param { bias_term: false num_output: 5 }',
            )
        )
        .replace('name: "convolution"', f'name: "conv{top}"')
        .replace('name: "innerproduct"', f'name: "ip{top}"')
    )


ONE = (
    '  %x: 4x3x8x8 = Input "x"()\n  %cf@convf: 4x4x6x6 = Convolution "convf"(%x) convf.weight[4x3x3x3] convf.bias[4]\n'
    '  %cf: 4x4x6x6 = ReLU "rf"(%cf@convf)\n  %f: 4x5 = InnerProduct "ipf"(%cf) ipf.weight[5x144]\n'
)


def test_one_tower_of_a_siamese_net_is_the_whole_net():
    biases = 'param { name: "w" } param { name: "b" }'
    towers = (tower("x", "f") + tower("y", "g")).replace('param { name: "w" }', biases)
    assert dump(deployed(PAIR + towers + layer("ContrastiveLoss", "f g label", "loss"))) == text_of(ONE, "f")
    inputs = "".join(
        f'layer {{ name: "{name}" type: "Input" top: "{name}" input_param {{ shape {{ {dims} }} }} }}\n'
        for name, dims in (("x", "dim: 4 dim: 3 dim: 8 dim: 8"), ("y", "dim: 4 dim: 3 dim: 8 dim: 8"), ("l", "dim: 4"))
    )
    assert dump(deployed(inputs + towers + layer("ContrastiveLoss", "f g l", "loss"))) == text_of(ONE, "f")


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda text: text.replace('name: "v"', 'name: "u"', 1), id="other weights"),
        pytest.param(
            lambda text: text.replace('layer { name: "rg" type: "ReLU"', 'layer { name: "rg" type: "TanH"'), id="TanH"
        ),
        pytest.param(lambda text: text + layer("TanH", "data", "more"), id="another output"),
        pytest.param(lambda text: text.replace('bottom: "y"', 'bottom: "x"'), id="one input"),
    ],
)
def test_two_towers_that_are_no_twins_stay(spoil):
    biases = 'param { name: "w" } param { name: "b" }'
    towers = (tower("x", "f") + tower("y", "g")).replace('param { name: "w" }', biases)
    net = deployed(spoil(PAIR + towers + layer("ContrastiveLoss", "f g label", "loss")))
    assert {"f", "g"} <= {blob.id for blob in net.outputs}


@pytest.mark.parametrize("rule", ["include { phase: TRAIN }", 'include { stage: "train" }'])
def test_a_loss_that_only_training_has_makes_its_prediction_too(rule):
    """As in SqueezeNet's train_val, whose TEST phase has nothing but Accuracy."""
    body = DATA + FC + layer("Accuracy", "fc label", "acc", "acc", "include { phase: TEST }")
    expected = text_of(INPUT + SCORES + '  %prob: 4x5 = Softmax "prob"(%fc)\n', "prob")
    assert dump(deployed(body + layer("SoftmaxWithLoss", "fc label", "loss", "", rule))) == expected
    bare = body.replace('type: "Accuracy"', 'type: "Silence"').replace('top: "acc"', "")
    plain = DATA + FC + layer("SoftmaxWithLoss", "fc label", "loss", "", rule)
    assert dump(deployed(plain)) == expected
    assert dump(deployed(bare + layer("EuclideanLoss", "fc label", "loss", "", rule))).count("Softmax") == 0


def test_what_was_removed():
    before = graph(DATA + FC + layer("Accuracy", "fc label", "acc") + layer("SoftmaxWithLoss", "fc label", "loss"))
    assert [node.id for node in removed(before, deploy(before))] == ["accuracy", "softmaxwithloss"]


def test_a_prediction_keeps_the_place_of_its_loss():
    net = deployed(DATA + FC + layer("SoftmaxWithLoss", "fc label", "loss", "mine"))
    assert net.layers["prob"].places.layer.line == 5
    assert net.layers["prob"].propagate == (True,)  # so that gradients reach the image, of a class say
