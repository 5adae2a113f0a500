"""LSTM, RNN, LSTMUnit: shapes, parameters, costs, refusals; torch's own LSTM as the oracle for many steps."""

from __future__ import annotations

from itertools import accumulate
from typing import Any

import pytest
import torch

from netdef.nn import LSTM, RNN
from tests.layer_decoding import assert_mismatch, decode, made, shapes

PARAM = "recurrent_param { num_output: 4 }"
EXPOSED = "recurrent_param { num_output: 4 expose_hidden: true }"
IN = 'bottom: "x" bottom: "cont"'

SHAPES = [
    (f'type: "LSTM" {IN} top: "h" {PARAM}', "6x2x5 6x2", "6x2x4"),
    (f'type: "LSTM" {IN} top: "h" {PARAM}', "?x2x5 6x?", "6x2x4"),
    (f'type: "LSTM" {IN} top: "h" {PARAM}', "? ?", "?x?x4"),
    (f'type: "LSTM" {IN} bottom: "s" top: "h" {PARAM}', "6x2x5 6x2 2x7", "6x2x4"),
    (
        f'type: "LSTM" {IN} bottom: "h0" bottom: "c0" top: "h" top: "hT" top: "cT" {EXPOSED}',
        "6x2x5 6x2 1x2x4 1x2x4",
        "6x2x4 1x2x4 1x2x4",
    ),
    (f'type: "RNN" {IN} bottom: "s" bottom: "h0" top: "o" top: "hT" {EXPOSED}', "6x2x5 6x2 2x7 1x2x4", "6x2x4 1x2x4"),
    ('type: "LSTMUnit" bottom: "c" bottom: "g" bottom: "cont" top: "c2" top: "h2"', "1x3x2 1x3x8 1x3", "1x3x2 1x3x2"),
]


@pytest.mark.parametrize(("text", "bottoms", "tops"), SHAPES)
def test_shape(text: str, bottoms: str, tops: str) -> None:
    assert made(text).infer(shapes(bottoms)) == shapes(tops)


PARAMS = [
    ("LSTM", "", "6x2x5 6x2", "weight_x bias weight_h", "16x5 16, 16x4", 6 * 2 * 16 * (5 + 4)),
    (
        "LSTM",
        'bottom: "s"',
        "6x2x3x5 6x2 2x7",
        "weight_x bias weight_static weight_h",
        "16x15 16, 16x7 16x4",
        6 * 2 * 16 * (15 + 4) + 2 * 16 * 7,
    ),
    ("RNN", "", "6x2x5 6x2", "weight_x bias weight_h weight_o bias_o", "4x5 4, 4x4 4x4 4,", 6 * 2 * 4 * (5 + 4 + 4)),
    ("RNN", "", "?x2x5 ?x2", "weight_x bias weight_h weight_o bias_o", "4x5 4, 4x4 4x4 4,", None),
]


@pytest.mark.parametrize(("kind", "static", "bottoms", "names", "sizes", "cost"), PARAMS)
def test_params_and_cost(kind: str, static: str, bottoms: str, names: str, sizes: str, cost: int | None) -> None:
    layer = made(f'type: "{kind}" {IN} {static} top: "h" {PARAM}')
    specs = layer.params(shapes(bottoms))
    assert [spec.name for spec in specs] == names.split()
    assert tuple(spec.shape for spec in specs) == shapes(sizes)
    assert layer.cost(shapes(bottoms), layer.infer(shapes(bottoms))) == cost


MISMATCHES = [
    (f'type: "RNN" {IN} top: "h" recurrent_param {{ num_output: 4000000000 }}', "6x2x5 6x2", "ND0413", "weights"),
    (f'type: "LSTM" {IN} top: "h" {PARAM}', "6x2x5 2x6", "ND0468", "must be 6x2, found 2x6"),
    (f'type: "LSTM" {IN} top: "h" {PARAM}', "6x2x5 6x2x1", "ND0468", "must be 6x2, found 6x2x1"),
    (f'type: "LSTM" {IN} top: "h" {PARAM}', "6, 6x2", "ND0464", "steps and streams"),
    (
        f'type: "RNN" {IN} bottom: "s" top: "h" {PARAM}',
        "6x2x5 6x2 3x7",
        "ND0468",
        "each of the 2 streams, found 3 (3x7)",
    ),
    (
        f'type: "RNN" {IN} bottom: "h0" top: "h" top: "hT" {EXPOSED}',
        "6x2x5 6x2 1x2x5",
        "ND0468",
        "must be 1x2x4, found 1x2x5",
    ),
    (
        'type: "LSTMUnit" bottom: "c" bottom: "g" bottom: "cont" top: "a" top: "b"',
        "1x3x2 1x3x6 1x3",
        "ND0468",
        "must be 1x3x8, found 1x3x6",
    ),
]


@pytest.mark.parametrize(("text", "bottoms", "code", "message"), MISMATCHES)
def test_mismatch(text: str, bottoms: str, code: str, message: str) -> None:
    assert_mismatch(text, bottoms, code, message)


REFUSED = [
    (f'type: "LSTM" {IN} top: "h" {EXPOSED}', "ND0462", "LSTM takes 4 or 5 bottoms and 3 tops here, found 2 and 1"),
    (
        f'type: "RNN" {IN} top: "h" top: "hT" {PARAM}',
        "ND0462",
        "RNN takes 2 or 3 bottoms and 1 top here, found 2 and 2",
    ),
    (f'type: "RNN" {IN} top: "h"', "ND0401", "`num_output` must be at least 1, found 0"),
]


@pytest.mark.parametrize(("text", "code", "message"), REFUSED)
def test_refused(text: str, code: str, message: str) -> None:
    _, (found,) = decode(text)
    assert (found.code, found.message) == (code, message)


def filled(module: torch.nn.Module) -> torch.nn.Module:
    generator = torch.Generator().manual_seed(1)
    for param in module.parameters():
        torch.nn.init.normal_(param, std=0.5, generator=generator)
    return module


def test_lstm_without_resets_is_torch_lstm_with_its_gates_reordered() -> None:
    ours = filled(LSTM(5, 4))
    theirs = torch.nn.LSTM(5, 4)
    order = torch.cat([torch.arange(0, 8), torch.arange(12, 16), torch.arange(8, 12)])  # i f o g to i f g o
    given = ours.state_dict()
    theirs.load_state_dict(
        {
            "weight_ih_l0": given["weight_x"][order],
            "weight_hh_l0": given["weight_h"][order],
            "bias_ih_l0": given["bias"][order],
            "bias_hh_l0": torch.zeros(16),
        }
    )
    x = torch.randn(40, 3, 5)
    cont = torch.ones(40, 3)
    cont[0] = 0
    torch.testing.assert_close(ours(x, cont), theirs(x)[0])
    half = filled(LSTM(5, 4))
    torch.testing.assert_close(torch.cat([half(x[:7], cont[:7]), half(x[7:], cont[7:])]), theirs(x)[0])


@pytest.mark.parametrize("kind", [LSTM, RNN])
def test_the_state_is_forgotten_on_reset_and_for_another_number_of_streams(kind: type[LSTM] | type[RNN]) -> None:
    module = filled(kind(5, 4))
    x, cont = torch.randn(3, 2, 5), torch.ones(3, 2)
    first = module(x, cont)
    assert not torch.equal(module(x, cont), first)
    module.reset()  # type: ignore[operator]
    torch.testing.assert_close(module(x, cont), first)
    torch.testing.assert_close(module(x[:, :1], cont[:, :1]), first[:, :1])
    assert all(name.startswith(("weight", "bias")) for name in module.state_dict())


def test_backward_after_the_state_was_overwritten() -> None:
    module = filled(LSTM(5, 4))
    x, cont = torch.randn(3, 2, 5, requires_grad=True), torch.ones(3, 2)
    module(x, cont)
    module(x, cont).sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


def results(module: LSTM, *bottoms: torch.Tensor) -> list[torch.Tensor]:
    """Output, last state, and the gradients of a sum that weighs every step differently."""
    leaves = [*bottoms, *module.parameters()]
    module.zero_grad()
    for leaf in bottoms:
        leaf.grad = None
    tops = module(*bottoms)
    output, *last = tops if isinstance(tops, tuple) else (tops, module.state0.clone(), module.state1.clone())
    (output * torch.linspace(-1, 1, output.numel()).view_as(output)).sum().backward()
    return [output.detach(), *last, *(leaf.grad for leaf in leaves if leaf.grad is not None)]


@pytest.mark.parametrize("expose", [False, True], ids=["kept state", "exposed state"])
@pytest.mark.parametrize("static", [0, 3], ids=["", "static"])
@pytest.mark.parametrize("first", [[0, 0], [1, 0], [1, 1]], ids=["begins", "one goes on", "goes on"])
def test_all_steps_at_once_equal_one_by_one(
    static: int, expose: bool, first: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once, one_by_one = (filled(LSTM(5, 4, static, expose)).double() for _ in range(2))
    x, cont = torch.randn(6, 2, 5, dtype=torch.float64, requires_grad=True), torch.ones(6, 2)
    cont[0] = torch.tensor(first)
    more = [torch.randn(2, static, dtype=torch.float64, requires_grad=True)] if static else []
    more += [torch.randn(1, 2, 4, dtype=torch.float64) for _ in range(2 * expose)]
    assert isinstance(at_once, LSTM)
    assert isinstance(one_by_one, LSTM)
    for _ in range(2):  # the second time with the state of the first
        fast = results(at_once, x, cont, *more)
        with monkeypatch.context() as patch:
            patch.setattr(LSTM, "_goes_on", lambda layer, cont: False)
            slow = results(one_by_one, x, cont, *more)
        torch.testing.assert_close(fast, slow, rtol=1e-10, atol=1e-12)


def test_a_device_is_not_asked_for_flags() -> None:
    """Tensors on torch's "meta" device have no numbers, as those on a GPU have none without waiting."""
    layer = LSTM(3, 2).to("meta")
    taken: list[str] = []
    layer._at_once = lambda *arguments: taken.append("at once") or LSTM._at_once(layer, *arguments)
    layer._step_by_step = lambda *arguments: taken.append("steps") or LSTM._step_by_step(layer, *arguments)
    x, known, unknown = torch.empty(4, 2, 3, device="meta"), *(torch.empty(4, 2, device="meta") for _ in range(2))
    layer.unbroken = known
    assert [layer(x, cont).shape for cont in (known, unknown)] == [(4, 2, 2), (4, 2, 2)]
    assert taken == ["at once", "steps"]


@pytest.mark.parametrize(("kind", "kernel"), [(LSTM, "lstm"), (RNN, "rnn_tanh")])
@pytest.mark.parametrize("static", [0, 2])
def test_cudnn_finds_its_weights_in_one_piece(
    kind: type[LSTM] | type[RNN], kernel: str, static: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One behind the other from the beginning of their memory; else it copies them with a warning, step by step."""
    seen: list[torch.Tensor] = []
    run = getattr(torch, kernel)

    def noting(x: torch.Tensor, state: Any, weights: list[torch.Tensor], *more: Any) -> Any:
        seen.extend(weights)
        return run(x, state, weights, *more)

    monkeypatch.setattr(torch, kernel, noting)
    layer = kind(3, 4, static)
    layer(torch.ones(5, 2, 3), torch.ones(5, 2), *([torch.ones(2, static)] if static else []))
    ends = [0, *accumulate(weight.numel() for weight in seen)]
    assert [weight.storage_offset() for weight in seen] == ends[:-1]
    assert {weight.untyped_storage().nbytes() for weight in seen} == {4 * ends[-1]}
    assert all(weight.is_contiguous() for weight in seen)
