"""Caffe's recurrent layers: sequences in packed time-major order, with flags that tell where a sequence goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import prod

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Floats = Callable[[Tensor], Tensor]
"""Brings a tensor into the type that is computed in."""


def lstm_unit(c: Tensor, gates: Tensor, cont: Tensor) -> tuple[Tensor, Tensor]:
    """One step of an LSTM's cell: ``c' = cont f c + i g``, ``h = o tanh(c')``.

    Args:
        c: cell state (1, N, D).
        gates: (1, N, 4 D), the arguments of the sigmoids i, f, o and of the tanh g, one behind the other.
        cont: (1, N), 0 where a sequence begins, 1 elsewhere.

    Returns:
        The new cell state and the hidden state, (1, N, D) each.

    Source: Caffe's lstm_unit_layer.cpp.
    """
    return _cell(c, gates, cont.reshape(*c.shape[:-1], 1))


def _cell(c: Tensor, gates: Tensor, cont: Tensor) -> tuple[Tensor, Tensor]:
    width = c.shape[-1]
    i, f, o = gates[..., : 3 * width].sigmoid().chunk(3, -1)
    g = gates[..., 3 * width :].tanh()
    c = cont * f * c + i * g
    return c, o * c.tanh()


class Recurrent(nn.Module):
    """What LSTM and RNN share: the projection of the inputs, the walk over time, the state kept between calls.

    The state of the last step is the first state of the next call, in buffers that are not saved; `cont` resets it.
    No gradient flows into it. With `expose_hidden` the caller brings the state (without a gradient, as in Caffe), and
    gets the last one back.

    Args:
        inputs: how many values a step has.
        num_output: D, the size of the hidden state.
        gates: how many rows of the weights there are for each hidden value.
        states: how many tensors make up the state.
        static: how many values the static input has; 0 where there is none.
        expose_hidden: whether the state comes and goes as arguments.
    """

    unbroken: Tensor | None = None
    """Flags of which the caller knows that no sequence begins after the first step: a GPU's are not looked at."""

    def __init__(self, inputs: int, num_output: int, gates: int, states: int, static: int, expose_hidden: bool) -> None:
        super().__init__()
        rows = gates * num_output
        self.num_output = num_output
        self.expose_hidden = expose_hidden
        self.weight_x = nn.Parameter(torch.zeros(rows, inputs))
        self.bias = nn.Parameter(torch.zeros(rows))
        if static:
            self.weight_static = nn.Parameter(torch.zeros(rows, static))
        self.static = static
        self.weight_h = nn.Parameter(torch.zeros(rows, num_output))
        for k in range(states):
            self.register_buffer(f"state{k}", torch.zeros(1, 0, num_output), persistent=False)
        self.states = states

    def reset(self) -> None:
        """Forget the state: the next call begins with zeros."""
        for k in range(self.states):
            self.get_buffer(f"state{k}").zero_()

    def forward(self, x: Tensor, cont: Tensor, *more: Tensor) -> Tensor | tuple[Tensor, ...]:
        """The outputs of all steps, and with `expose_hidden` the last state.

        Args:
            x: (T, N, …).
            cont: (T, N), 0 where a sequence begins.
            more: the static input (N, …) if there is one, then the first state, (1, N, D) each, if it is exposed.
        """
        inputs = x.flatten(2) if x.dim() > 2 else x.unsqueeze(2)
        static = more[0].reshape(x.shape[1], -1) if self.static else None
        given = more[bool(self.static) :]
        first = [state.detach().squeeze(0) for state in given] if self.expose_hidden else self._kept(x)
        flags = cont.detach().unsqueeze(2).to(x.dtype)
        run = self._at_once if self._goes_on(cont) else self._step_by_step
        output, last = run(inputs, static, flags, first)
        last = [state.detach().unsqueeze(0) for state in last]
        if self.expose_hidden:
            return (output, *last)
        self._keep(last)
        return output

    def _goes_on(self, cont: Tensor) -> bool:
        """Whether all flags but those of the first step are known to be 1."""
        if torch.compiler.is_compiling():
            return False
        return cont is self.unbroken or (cont.device.type == "cpu" and bool((cont[1:] == 1).all()))

    def _at_once(
        self, inputs: Tensor, static: Tensor | None, cont: Tensor, state: Sequence[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        """What `_step_by_step` gives where no sequence begins after the first step, by torch's kernel over all."""
        weight: Tensor = self.weight_x
        if static is not None:
            inputs = torch.cat([inputs, static.expand(len(inputs), -1, -1)], 2)
            weight = torch.cat([weight, self.weight_static], 1)
        return self._fused(inputs, weight, [(cont[0] * value).unsqueeze(0) for value in state])

    def _step_by_step(
        self, inputs: Tensor, static: Tensor | None, cont: Tensor, state: Sequence[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        """From inputs (T, N, I), static (N, S), flags (T, N, 1), a state (N, D): outputs (T, N, D), the last state."""
        steps = F.linear(inputs, self.weight_x, self.bias)
        if static is not None:
            steps = steps + F.linear(static, self.weight_static)
        return self._walk(steps, cont, state)

    def _fused(self, inputs: Tensor, weight: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """From inputs (T, N, I), their weight (rows, I) and a state (1, N, D) what `_walk` gives."""
        raise NotImplementedError

    def _walk(self, steps: Tensor, cont: Tensor, state: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """From projected inputs (T, N, rows), flags (T, N, 1) and a state (N, D): outputs (T, N, D), the last state."""
        raise NotImplementedError

    def _kept(self, x: Tensor) -> list[Tensor]:
        """Copies of the buffers, which are overwritten before autograd has used the old values; zeros for a new N."""
        for k in range(self.states):
            if self.get_buffer(f"state{k}").shape[1] != x.shape[1]:
                setattr(self, f"state{k}", x.new_zeros(1, x.shape[1], self.num_output, dtype=self.weight_h.dtype))
        return [self.get_buffer(f"state{k}").squeeze(0).clone() for k in range(self.states)]

    def _keep(self, last: list[Tensor]) -> None:
        for k, state in enumerate(last):
            self.get_buffer(f"state{k}").copy_(state)


class LSTM(Recurrent):
    """``gates = W_x x + b + W_static s + W_h (cont h)``, then `lstm_unit`. State: h, c. Source: lstm_layer.cpp.

    Gates stand in the order i, f, o, g (torch: i, f, g, o); there is one bias (torch: two).
    """

    def __init__(self, inputs: int, num_output: int, static: int = 0, expose_hidden: bool = False) -> None:
        super().__init__(inputs, num_output, 4, 2, static, expose_hidden)

    def _walk(self, steps: Tensor, cont: Tensor, state: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        h, c = state
        hidden = []
        for step, goes_on in zip(steps.unbind(), cont.unbind(), strict=True):
            c, h = _cell(c, step + F.linear(goes_on * h, self.weight_h), goes_on)
            hidden.append(h)
        return torch.stack(hidden), [h, c]

    def _fused(self, inputs: Tensor, weight: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        weights = [self._turned(w) for w in (weight, self.weight_h, self.bias, torch.zeros_like(self.bias))]
        with _floats_of(inputs) as floats:
            given = floats(inputs), [floats(value) for value in state], _packed(weights, floats)
            output, h, c = torch.lstm(*given, True, 1, 0.0, torch.is_grad_enabled(), False, False)
        return output, [h.squeeze(0), c.squeeze(0)]

    def _turned(self, weight: Tensor) -> list[Tensor]:
        """The rows in torch's order of the gates."""
        o, g = 2 * self.num_output, 3 * self.num_output
        return [weight[:o], weight[g:], weight[o:g]]


class RNN(Recurrent):
    """``h = tanh(W_x x + b + W_static s + W_h (cont h))``, output ``tanh(W_o h + b_o)``. State: h.

    Source: rnn_layer.cpp.
    """

    def __init__(self, inputs: int, num_output: int, static: int = 0, expose_hidden: bool = False) -> None:
        super().__init__(inputs, num_output, 1, 1, static, expose_hidden)
        self.weight_o = nn.Parameter(torch.zeros(num_output, num_output))
        self.bias_o = nn.Parameter(torch.zeros(num_output))

    def _walk(self, steps: Tensor, cont: Tensor, state: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        (h,) = state
        hidden = []
        for step, goes_on in zip(steps.unbind(), cont.unbind(), strict=True):
            h = (step + F.linear(goes_on * h, self.weight_h)).tanh()
            hidden.append(h)
        return self._outputs(torch.stack(hidden)), [h]

    def _fused(self, inputs: Tensor, weight: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        weights: list[list[Tensor]] = [[weight], [self.weight_h], [self.bias], [torch.zeros_like(self.bias)]]
        with _floats_of(inputs) as floats:
            given = floats(inputs), floats(state[0]), _packed(weights, floats)
            hidden, h = torch.rnn_tanh(*given, True, 1, 0.0, torch.is_grad_enabled(), False, False)
        return self._outputs(hidden), [h.squeeze(0)]

    def _outputs(self, hidden: Tensor) -> Tensor:
        return F.linear(hidden, self.weight_o, self.bias_o).tanh()


def _packed(weights: Sequence[Sequence[Tensor]], floats: Floats) -> list[Tensor]:
    """Each weight from its pieces, all one behind the other in memory: cuDNN warns and copies where they are not."""
    flat = floats(torch.cat([piece.flatten() for pieces in weights for piece in pieces]))
    sizes = [(sum(map(len, pieces)), *pieces[0].shape[1:]) for pieces in weights]
    return [part.view(size) for part, size in zip(torch.split(flat, [*map(prod, sizes)]), sizes, strict=True)]


@contextmanager
def _floats_of(x: Tensor) -> Iterator[Floats]:
    """A block for torch's recurrent kernels, with what brings their arguments into the type that autocast asks for.

    On a GPU autocast itself takes float16 for them, also where bfloat16 is asked for, and gradients that nobody has
    scaled vanish in it (source: AutocastRNN.cpp).
    """
    if x.device.type != "cuda" or not torch.is_autocast_enabled("cuda"):
        yield lambda tensor: tensor
        return
    short = torch.get_autocast_dtype("cuda")
    with torch.autocast("cuda", enabled=False):
        yield lambda tensor: tensor.to(short)
