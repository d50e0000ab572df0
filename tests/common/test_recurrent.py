"""Recurrent populations against torch.nn.GRU, and whole episodes laid into lanes."""

import numpy as np
import pytest
import torch

from common.learning import kernels
from common.learning.episodes import EpisodeStore, lay, most_draws
from common.learning.population import Parameters, generators
from common.learning.recurrent import SOURCE, recurrent_parameters, rows_of, step, unroll

LENGTHS = [3, 5, 2, 7, 4, 1]


HIDDEN = 16


@pytest.fixture(params=["native", "torch"], autouse=True)
def form(request, monkeypatch):
    """Both forms, where there is a compiler."""
    if request.param == "torch":
        monkeypatch.setattr("common.learning.recurrent.native", lambda *a: None)
    elif kernels.backend() == "torch":
        pytest.skip("no compiled kernels here")
    else:
        assert kernels.compiled(SOURCE), "recurrent.c does not compile"


def network(members=2, networks=2, inputs=3, hidden=HIDDEN, outputs=4):
    return Parameters(
        recurrent_parameters(
            generators(list(range(members)), "net"), networks, inputs, hidden, outputs
        )
    )


def reference(params, m, n):
    """The same network of torch's own modules."""
    first, gru, last = (
        torch.nn.Linear(3, HIDDEN),
        torch.nn.GRU(HIDDEN, HIDDEN),
        torch.nn.Linear(HIDDEN, 4),
    )
    state = {name: params[name].detach()[m, n] for name in params.tensors}
    with torch.no_grad():
        first.weight.copy_(state["in_w"].T), first.bias.copy_(state["in_b"])
        gru.weight_ih_l0.copy_(state["x_w"].T), gru.bias_ih_l0.copy_(state["x_b"])
        gru.weight_hh_l0.copy_(state["h_w"].T), gru.bias_hh_l0.copy_(state["h_b"])
        last.weight.copy_(state["out_w"].T), last.bias.copy_(state["out_b"])
    return first, gru, last


def everywhere(params, x, fresh):
    """Outputs and memories [M, N, P, C, ...] of all places."""
    rows = rows_of(torch.ones_like(fresh).bool(), fresh)
    found = unroll(params, x.flatten(2, 3), rows)
    return [one.unflatten(2, fresh.shape[1:]) for one in found]


def test_rows_that_nobody_asks_for_change_nothing(stream):
    """Episodes cut short in some columns, and another number of rows in every member."""
    params, x = network(members=3, networks=1), torch.randn(3, 1, 9, 5, 3, generator=stream)
    fresh = torch.zeros(3, 9, 5)
    fresh[:, [0, 4]] = 1
    wanted = torch.rand(3, 9, 5, generator=stream) > 0.2
    for t in range(1, 9):
        wanted[:, t] &= wanted[:, t - 1] | (fresh[:, t] > 0)
    target = torch.randn(3, 9, 5, 4, generator=stream) * wanted.unsqueeze(-1)
    rows = rows_of(wanted, fresh)
    some, _ = unroll(params, rows.pack(x.flatten(1, 3)).unsqueeze(1), rows)
    some = rows.unpack(some.squeeze(1)).view_as(target)
    assert some[~wanted].eq(0).all() and wanted.flatten(1).sum(1).unique().numel() > 1
    gradients = []
    whole = everywhere(params, x, fresh)[0].squeeze(1)
    for out in (some, whole * wanted.unsqueeze(-1)):
        params.zero_grad()
        (out * target).sum().backward(inputs=list(params.tensors.values()))
        gradients.append(params.grad.clone())
    torch.testing.assert_close(some[wanted], whole[wanted], atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(*gradients, atol=1e-6, rtol=1e-5)


def test_outputs_and_gradients_equal_torchs_gru_on_every_episode_of_a_lane(stream):
    params, x = network(), torch.randn(2, 2, 9, 5, 3, generator=stream)
    fresh = torch.zeros(2, 9, 5)
    fresh[:, [0, 4]] = 1  # two episodes in each lane: 0..3 and 4..8
    target = torch.randn(2, 2, 9, 5, 4, generator=stream)
    out, _ = everywhere(params, x, fresh)
    params.zero_grad()
    ((out - target) ** 2).sum().backward(inputs=list(params.tensors.values()))
    for m in range(2):
        for n in range(2):
            first, gru, last = reference(params, m, n)
            pieces = [
                last(gru(first(x[m, n, span]).relu())[0]) for span in (slice(0, 4), slice(4, 9))
            ]
            expected = torch.cat(pieces)
            torch.testing.assert_close(out[m, n], expected, atol=1e-5, rtol=1e-5)
            ((expected - target[m, n]) ** 2).sum().backward()
            for name, parameter in (
                ("in_w", first.weight),
                ("in_b", first.bias),
                ("x_w", gru.weight_ih_l0),
                ("x_b", gru.bias_ih_l0),
                ("h_w", gru.weight_hh_l0),
                ("h_b", gru.bias_hh_l0),
                ("out_w", last.weight),
                ("out_b", last.bias),
            ):
                torch.testing.assert_close(
                    params[name].grad[m, n].movedim(0, -1), parameter.grad, atol=1e-4, rtol=1e-4
                )


def test_acting_step_by_step_equals_unrolling(stream):
    params, x = network(), torch.randn(2, 2, 6, 5, 3, generator=stream)
    fresh = torch.zeros(2, 6, 5)
    fresh[:, 0] = 1
    whole, memories = everywhere(params, x, fresh)
    memory = torch.zeros(2, 2, 5, HIDDEN)
    for t in range(6):
        out, memory = step(params, x[:, :, t], memory)
        torch.testing.assert_close(out, whole[:, :, t], atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(memory, memories[:, :, -1], atol=1e-6, rtol=1e-5)


def test_lanes_hold_whole_episodes_end_to_end_and_what_does_not_fit_waits(stream):
    lengths, waiting, seen = np.array(LENGTHS), None, np.zeros(len(LENGTHS))
    most = most_draws(lengths, 3, 12)
    for _ in range(300):
        before = waiting
        draws = torch.randint(len(LENGTHS), (most,), generator=stream).tolist()
        episode, at, waiting = lay(lengths, 3, 12, iter(draws), waiting)
        if before is not None:
            assert episode[0, 0] == before
        for lane in range(3):
            t = 0
            while t < 12 and episode[t, lane] >= 0:
                e = episode[t, lane]
                assert (episode[t : t + lengths[e] + 1, lane] == e).all()
                assert at[t : t + lengths[e] + 1, lane].tolist() == list(range(lengths[e] + 1))
                t += lengths[e] + 1
                seen[e] += 1
            assert (episode[t:, lane] == -1).all()
    assert seen / seen.sum() == pytest.approx(
        np.full(6, 1 / 6), abs=0.02
    )  # long ones are not drawn less often
    with pytest.raises(ValueError, match="does not fit a lane of 7 places"):
        lay(lengths, 3, 7, iter([0]))


def episodes(count=6, longest=7, agents=2, actions=3):
    """Episodes whose observations tell which episode and step they are."""
    e, t = torch.meshgrid(torch.arange(count), torch.arange(longest + 1), indexing="ij")
    obs = torch.stack([e, t], -1).unsqueeze(2).expand(-1, -1, agents, -1).float()
    lengths = torch.tensor(LENGTHS)
    filled = (t[:, :-1] < lengths[:, None]).float()
    return {
        "obs": obs,
        "state": obs[:, :, 0],
        "available": (torch.arange(actions) > 0).expand(count, longest + 1, agents, actions),
        "actions": (1 + (e + t)[:, :-1] % 2).unsqueeze(-1).expand(-1, -1, agents).to(torch.int8),
        "rewards": (100 * e + t)[:, :-1].float(),
        "terminated": (t[:, :-1] == lengths[:, None] - 1).float(),
        "filled": filled,
    }


def test_a_minibatch_is_what_the_episodes_say_and_a_member_draws_its_own():
    store = EpisodeStore(episodes(), [0, 1, 2], lanes=2, positions=10)
    lanes = store.draw()
    assert lanes.obs.shape == (3, 10, 2, 2, 2) and 0 < lanes.filled.mean() < 1
    e, t = lanes.state.unbind(-1)
    taken = lanes.filled > 0
    assert torch.equal(lanes.reward[taken], (100 * e + t)[taken])
    lengths = torch.tensor(LENGTHS)[e.long()]
    assert torch.equal(lanes.terminal[taken], (t == lengths - 1).float()[taken])
    after = torch.roll(taken, 1, 1)
    after[:, 0] = False
    assert torch.equal(
        t[after], (torch.roll(t, 1, 1) + 1)[after]
    )  # what follows a filled place is its next step
    assert torch.equal(lanes.fresh[taken], (t == 0).float()[taken])
    assert (lanes.available.gather(-1, lanes.action.unsqueeze(-1)) == 1).all()
    assert (lanes.last[..., 0][taken & (t == 0)] == -1).all()
    later = taken & (t > 0)
    assert torch.equal(lanes.last[..., 0][later], (1 + (e + t - 1) % 2).long()[later])

    alone = EpisodeStore(episodes(), [1], lanes=2, positions=10)
    assert torch.equal(alone.draw().obs[0], lanes.obs[1])
    store.draw()
    again = EpisodeStore(episodes(), [0, 1, 2], lanes=2, positions=10)
    again.load_state_dict(store.state_dict())
    assert torch.equal(again.draw().reward, store.draw().reward)
