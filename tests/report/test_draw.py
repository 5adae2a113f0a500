"""Is everything of a net in its picture, once, where it belongs, and safe to open?"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from netdef.cli import main
from netdef.graph import Options, load
from netdef.ir import Blob, Graph, Shape
from netdef.report.draw import compose, html, svg
from netdef.report.draw.boxes import boxes
from netdef.report.draw.groups import groups
from netdef.report.draw.labels import labels
from netdef.report.draw.rank import Link
from netdef.report.draw.scene import SMALL_SIZE, Card, Rect, Scene, text_width
from tests.golden_cases import GOLDEN
from tests.graph.compiling import graph

ROOT = Path(__file__).parents[2]
NETS = {
    **{name: f"examples/{name}/deploy.prototxt" for name in ("alexnet", "vgg16", "googlenet", "resnet18", "resnet50")},
    "googlenet in training": "examples/googlenet/train_val.prototxt",
    **{path.parent.name: str(path.relative_to(ROOT)) for path in sorted(GOLDEN.glob("nets/*/net.prototxt"))},
}
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(params=NETS.values(), ids=NETS)
def net(request) -> Graph:
    return load(ROOT / request.param, Options(phase="TRAIN" if "train_val" in request.param else None))


def test_every_layer_in_one_box_and_every_box_on_the_page_once(net):
    found = boxes(net)
    assert [node.id for node in net.nodes] == sorted(
        (node.id for box in found for node in box.nodes), key=[*net.layers].index
    )
    drawn = [card.id for card in compose(net).cards if not card.reference]
    assert drawn == [box.id for box in found]


def test_edges_lead_from_each_box_to_each_of_its_readers_and_nowhere_else(net):
    """Followed by their coordinates, since an edge into a group goes on at the group's border."""
    scene = compose(net)
    makers = {node.id: box.id for box in boxes(net) for node in box.nodes}
    expected = {
        (makers[net.producers[blob.id].id], makers[node.id], blob.id)
        for node in net.nodes
        for blob in node.bottoms
        if makers[net.producers[blob.id].id] != makers[node.id]
    }
    assert {way for card in scene.cards for way in _followed(scene, card)} == expected


def _followed(scene: Scene, card: Card) -> set[tuple[str, str, str]]:
    found = set()
    for edge in scene.edges:
        if edge.source == card.id and _on_lower_border(edge.points[0], card.rect):
            ends = [edge.points[-1]]
            while ends:
                end = ends.pop()
                found |= {(card.id, other.id, edge.blob) for other in scene.cards if _on_upper_border(end, other.rect)}
                ends += [e.points[-1] for e in scene.edges if e.blob == edge.blob and _same(e.points[0], end)]
    return found


def _on_lower_border(point, rect: Rect) -> bool:
    return rect.x <= point[0] <= rect.x + rect.width and abs(point[1] - rect.y - rect.height) < 0.01


def _on_upper_border(point, rect: Rect) -> bool:
    return rect.x <= point[0] <= rect.x + rect.width and abs(point[1] - rect.y) < 0.01


def _same(a, b) -> bool:
    return abs(a[0] - b[0]) < 0.01 and abs(a[1] - b[1]) < 0.01


def test_nothing_overlaps_and_all_is_on_the_page(net):
    scene = compose(net)
    cards, frames = [card.rect for card in scene.cards], [frame.rect for frame in scene.frames]
    for rects in (cards, frames):
        assert not [pair for pair in combinations(rects, 2) if _overlap(*pair)]
        assert all(_inside(rect, Rect(0, 0, scene.width, scene.height)) for rect in rects)
    assert all(_inside(card, frame) for card in cards for frame in frames if _overlap(card, frame))
    assert all(0 <= x <= scene.width and 0 <= y <= scene.height for edge in scene.edges for x, y in edge.points)
    assert not [pair for pair in combinations(_words(scene), 2) if _overlap(*pair)]


def _words(scene: Scene) -> list[Rect]:
    """Where the sizes beside the edges stand."""
    return [Rect(each.x, each.y - 7, text_width(each.text, SMALL_SIZE) * 0.92, 7) for each in scene.labels]


def test_a_label_goes_where_there_is_room():
    """Of two ways side by side the first turns left, the second right, and between them there is room for one."""
    blob = Blob("b", "b", Shape.of(1, 100, 284, 284))
    first, second = Link("a", "x", "b", 0), Link("c", "y", "b", 0)
    ways = {first: ((100.0, 0.0), (40.0, 60.0)), second: ((180.0, 0.0), (240.0, 60.0))}
    one, two = labels([first, second], ways, {"b": blob}, {}, (0, 400))
    assert (one.x, two.x) == (105, 185)
    (alone,) = labels([second], ways, {"b": blob}, {}, (0, 400))
    assert alone.x < 180
    (cramped,) = labels([second], ways, {"b": blob}, {}, (170, 400))
    assert cramped.x == 185


def _overlap(a: Rect, b: Rect) -> bool:
    return a.x < b.x + b.width and b.x < a.x + a.width and a.y < b.y + b.height and b.y < a.y + a.height


def _inside(a: Rect, b: Rect) -> bool:
    return b.x <= a.x and b.y <= a.y and a.x + a.width <= b.x + b.width and a.y + a.height <= b.y + b.height


def test_files_are_well_formed_and_equal_each_time(net):
    first, again = svg(compose(net)), svg(compose(net))
    assert first == again
    drawn = [each.get("data-id") for each in ET.fromstring(first).iter(f"{SVG}g") if each.get("class") == "box"]
    assert sorted(drawn) == sorted(box.id for box in boxes(net))
    page = html(compose(net), net)
    assert {layer[0][1] for box in _facts(page).values() for layer in box} == set(net.layers)


def _facts(page: str) -> dict[str, list[list[list[str]]]]:
    return json.loads(re.search(r'id="facts">(.*?)</script>', page, re.DOTALL)[1])


@pytest.mark.parametrize("name", ["googlenet", "resnet50"])
def test_long_nets_have_the_shape_of_a_screen(name):
    scene = compose(load(ROOT / NETS[name], Options()))
    assert 1 < scene.width / scene.height < 2.2


def conv(name: str, bottom: str) -> str:
    return f"""layer {{ name: "{name}" type: "Convolution" bottom: "{bottom}" top: "{name}"
        convolution_param {{ num_output: 4 kernel_size: 1 }} }}"""


INPUT = 'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 4 dim: 8 dim: 8 } } }'


def step(kind: str, bottom: str, top: str) -> str:
    return f'layer {{ name: "{kind}_{top}" type: "{kind}" bottom: "{bottom}" top: "{top}" }}'


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        pytest.param(
            [conv("c", "data"), *(step(kind, "c", "c") for kind in ("BatchNorm", "Scale", "ReLU"))],
            [["data"], ["c", "BatchNorm_c", "Scale_c", "ReLU_c"]],
            id="a chain in place",
        ),
        pytest.param(
            [conv("c", "data"), step("BatchNorm", "c", "b"), step("ReLU", "b", "r")],
            [["data"], ["c", "BatchNorm_b", "ReLU_r"]],
            id="the same with new names",
        ),
        pytest.param(
            [conv("c", "data"), step("ReLU", "c", "r"), step("Sigmoid", "c", "s")],
            [["data"], ["c"], ["ReLU_r"], ["Sigmoid_s"]],
            id="two readers",
        ),
        pytest.param([step("ReLU", "data", "r")], [["data"], ["ReLU_r"]], id="an input stays alone"),
        pytest.param(
            [conv("c", "data"), step("LRN", "c", "n")], [["data"], ["c"], ["LRN_n"]], id="what is not in place"
        ),
    ],
)
def test_which_layers_share_a_box(layers, expected):
    net = graph("\n".join([INPUT, *layers]))
    assert [[node.id for node in box.nodes] for box in boxes(net)] == expected


@pytest.mark.parametrize(
    ("names", "edges", "expected"),
    [
        pytest.param("a/x a/y b/x b/y", "a/x>a/y a/y>b/x b/x>b/y", ["a", "b"], id="slashes"),
        pytest.param("conv1 pool1 fc", "conv1>pool1 pool1>fc", [], id="no prefix"),
        pytest.param(
            "r_1_a r_1 r_2_a r_2", "r_1_a>r_1 r_1>r_2_a r_2_a>r_2", ["r_1", "r_2"], id="the finer one"
        ),
        pytest.param(
            "m_1x1 m_3x3_r m_3x3 m_out", "m_1x1>m_out m_3x3_r>m_3x3 m_3x3>m_out", ["m"], id="a branch of one keeps all"
        ),
        pytest.param("t_1 t_2 u", "t_1>u", [], id="not joined"),
        pytest.param("t_1 u t_2", "t_1>u u>t_2 t_1>t_2", [], id="another box in between"),
        pytest.param("s_1 s_2 t_1 t_2", "s_1>s_2 t_1>t_2 s_1>t_1 t_2>s_2", ["t"], id="each within the other"),
    ],
)  # fmt: skip
def test_groups(names, edges, expected):
    pairs = [tuple(edge.split(">")) for edge in edges.split()]
    found = groups(names.split(), pairs)
    assert [group.name for group in found] == expected


def test_inception_modules_are_framed():
    scene = compose(load(ROOT / NETS["googlenet"], Options()))
    modules = [f"inception_{name}" for name in ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b")]
    assert [frame.title for frame in scene.frames if frame.title in modules] == modules


NASTY = "<script>alert(1)</script>&\"'"
QUOTED = NASTY.replace('"', '\\"').replace("'", "\\'")


def test_names_cannot_become_markup():
    net = graph(f'name: "{QUOTED}"\n{INPUT}\n{conv(QUOTED, "data")}\n{conv("]]>--><b>", QUOTED)}')
    picture, page = svg(compose(net)), html(compose(net), net)
    names = {each.get("data-id") for each in ET.fromstring(picture).iter(f"{SVG}g")}
    assert NASTY in names
    assert "<script>alert" not in page
    assert page.count("</script>") == 2
    assert NASTY in _facts(page)


def test_characters_that_xml_cannot_hold():
    net = graph("\n".join([INPUT, conv("a\\001\\rb", "data")]))
    drawn = {each.get("data-id") for each in ET.fromstring(svg(compose(net))).iter(f"{SVG}g")}
    assert drawn == {"data", "a??b"} == {*_facts(html(compose(net), net))}


def test_the_page_needs_no_network():
    page = html(net := compose(load(ROOT / NETS["alexnet"], Options())), load(ROOT / NETS["alexnet"], Options()))
    assert net.title in page
    assert "default-src 'none'" in page
    assert {*re.findall(r"https?://[^\"' ]*", page)} == {"http://www.w3.org/2000/svg"}
    assert not re.findall(r"(?:src|href)=|@import|url\((?!#)", page)


def test_facts_of_a_layer():
    net = load(ROOT / NETS["alexnet"], Options())
    (conv1, relu1) = _facts(html(compose(net), net))["conv1"]
    assert [conv1[i] for i in (0, 1, 3)] == [["layer", "conv1"], ["type", "Convolution"], ["top", "conv1  1x96x55x55"]]
    assert ["multiply-adds", f"{96 * 55 * 55 * 3 * 11 * 11:,}"] in conv1
    assert ["weight_filler.std", "0.01"] in conv1
    line = (ROOT / NETS["alexnet"]).read_text().split('name: "conv1"')[0].count("\n")
    assert ["written at", f"deploy.prototxt:{line}"] in conv1
    assert relu1[0] == ["layer", "relu1"]


def test_an_input_is_repeated_near_a_reader_far_away():
    cards = compose(load(ROOT / NETS["googlenet in training"], Options(phase="TRAIN"))).cards
    assert [(card.id, card.title) for card in cards if card.reference] == [("data", "label")] * 3


def run(monkeypatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["netdef", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0)


def test_command_writes_each_form(monkeypatch, capsys, tmp_path):
    pytest.importorskip("matplotlib")
    starts = {"n.svg": b"<svg", "n.html": b"<!doctype html>", "n.png": b"\x89PNG"}
    for name, start in starts.items():
        assert run(monkeypatch, "draw", ROOT / NETS["lenet"], "-o", tmp_path / name) == 0
        assert (tmp_path / name).read_bytes().startswith(start)
    assert capsys.readouterr().out.endswith("n.png: 9 layers\n")


def test_png_has_the_size_of_the_scene():
    pytest.importorskip("matplotlib")
    import cv2
    import numpy as np

    from netdef.report.draw.png import png

    scene = compose(load(ROOT / NETS["lenet"], Options()))
    pixels = cv2.imdecode(np.frombuffer(png(scene, 1.5), np.uint8), cv2.IMREAD_COLOR)
    assert np.allclose(pixels.shape[:2], (1.5 * scene.height, 1.5 * scene.width), atol=2)
    assert pixels[0, 0].tolist() == [255, 255, 255]


def test_png_without_matplotlib(monkeypatch, capsys, tmp_path):
    for name in [name for name in sys.modules if name.startswith("matplotlib.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert run(monkeypatch, "draw", ROOT / NETS["lenet"], "-o", tmp_path / "n.png") == 1
    err = capsys.readouterr().err
    assert "error[ND0950]: drawing a .png needs the package matplotlib" in err
    assert "pip install 'netdef[viz]'" in err
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        pytest.param(["none.prototxt", "-o", "n.svg"], 1, "ND0010", id="no such net"),
        pytest.param([str(ROOT / NETS["lenet"]), "-o", "n.gif"], 2, "ends in none of .svg, .png, .html", id="a gif"),
        pytest.param([str(ROOT / NETS["lenet"])], 2, "--output", id="no output"),
        pytest.param([str(ROOT / NETS["lenet"]), "-o", "none/n.svg"], 3, "ND0016", id="no such folder"),
        pytest.param(["empty.prototxt", "-o", "n.svg"], 1, "ND0951", id="no layers"),
    ],
)
def test_exit_codes(monkeypatch, capsys, tmp_path, arguments, code, says):
    monkeypatch.chdir(tmp_path)
    Path("empty.prototxt").write_text('name: "empty"')
    assert run(monkeypatch, "draw", *arguments) == code
    out, err = capsys.readouterr()
    assert says in err
    assert "Traceback" not in out + err


def test_no_torch_and_the_same_bytes_in_every_process(tmp_path):
    code = (
        "import sys; from netdef.cli.draw import command; command(standalone_mode=False); print('torch' in sys.modules)"
    )
    made = []
    for seed in ("1", "2"):
        path = tmp_path / f"{seed}.html"
        arguments = [sys.executable, "-c", code, str(ROOT / NETS["googlenet"]), "-o", str(path)]
        done = subprocess.run(
            arguments, cwd=ROOT, env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        )
        assert done.stdout.splitlines()[-1] == "False"
        made.append(path.read_bytes())
    assert made[0] == made[1]
