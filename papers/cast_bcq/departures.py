"""What the paper leaves open and how it is read here; run both ways where it says so
(common.reporting.departures).
"""

from common.reporting.departures import Departure, Effect
from papers.cast_bcq.ablation_battles import SHOWN


def on_hopper(name: str) -> Effect:
    """Another reading on Hopper's uncoordinated data."""
    return Effect("ablation_ambiguities", ((("hopper_3x1", name), ("hopper_3x1", "default")),))


def in_battles(name: str) -> Effect:
    """Another reading on the maps of the ablation."""
    pairs = tuple(((place, name), (place, "default")) for place in SHOWN)
    return Effect("ablation_battles", pairs)


DEPARTURES = [
    Departure(
        "A1 what agents observe",
        "own body parts",
        "",
        (
            "own joints and the torso's five numbers: with joints alone Hopper and Walker2d can "
            "hardly be balanced. Joint BCQ and MABCQ always see everything"
        ),
        option="observation=full",
        effect=on_hopper("A1: full observation"),
    ),
    Departure(
        "A2 what unmasked agents do in Eq. 8",
        "the joint policy's actions",
        "",
        "the best of ten joint candidates",
        option="others=data",
        effect=on_hopper("A2: others from the data"),
    ),
    Departure(
        "A3 range of latents",
        "not given",
        "",
        "0.5, as BCQ's code",
        option="latent_clip=0.05",
        effect=on_hopper("A3: latent clip 0.05"),
    ),
    Departure(
        "A4 uncoordinated data for three agents",
        '"a quarter each"',
        "",
        "every combination of medium and expert in equal parts, eight for Hopper",
    ),
    Departure(
        "A4 whose policies the uncoordinated agents play",
        "medium and expert of one SAC run",
        "",
        "medium and expert of a run an agent: teams of one run's play nearly as well as its own "
        "(envs/mujoco/policies/*/card.json), so nothing miscoordinates",
        option="uncoordinated=snapshots",
    ),
    Departure(
        "A5 distribution of subteams",
        "a mean",
        "",
        "exact over all subsets up to three agents; above, a uniform size, then a uniform subset",
        option="subteams",
    ),
    Departure(
        "A6 target networks",
        "copied each step in the listing",
        "",
        "Polyak 0.005",
        option="tau",
    ),
    Departure(
        "A7 w/o CSAA",
        "named",
        "",
        (
            "regression on the joint value itself; also masking kept and only the counterfactual "
            "baseline dropped"
        ),
        option="both in figure6.py",
    ),
    Departure(
        "A8 the grid's data",
        "100 random trajectories",
        "",
        (
            "each trajectory's agents have their own random (Dirichlet) policies, one data set "
            "for each seed; the number of goals is in every result; also 1,000 trajectories, see "
            "Figure 1"
        ),
        option="behaviour=uniform",
    ),
    Departure(
        "A9 default action",
        "a constant",
        "",
        "zero torque; on the grid staying; an absent agent (zero block) is an option",
        option="default=zero",
    ),
    Departure(
        "A10 ends of episodes",
        "",
        "",
        "terminals cut values, the clock does not",
    ),
    Departure(
        "A11 extra weight of Eq. 9",
        "",
        "",
        "off",
        option="exp_weight=True",
    ),
    Departure(
        'A12 "average score"',
        "",
        "",
        "mean return of the last evaluations, five of twenty at paper, two of four at quick",
        option="last",
    ),
    Departure(
        "A13 minibatches",
        "",
        "",
        "all agents learn from the same rows",
    ),
    Departure(
        "networks",
        "BCQ's",
        "",
        "two hidden layers of one width: 400 for critics and values, 752 for VAEs",
        option="preset",
    ),
    Departure(
        "perturbation of proposals",
        "0.001 in one draft",
        "",
        "none for CAST-BCQ",
    ),
    Departure(
        "joint candidates",
        "n",
        "",
        "candidate j pairs the j-th proposal of every agent: ten joint actions, not 10^N",
        option="candidates",
    ),
    Departure(
        "battles: the game",
        "StarCraft II, ICQ-MA's data",
        "",
        (
            "envs/smac (SMAC-like, built-in simulator), 3,000 episodes a map (1,000 at quick) in "
            "equal shares from four to seven QMIX snapshots, nearly random to best"
        ),
    ),
    Departure(
        "battles: agents",
        "not given",
        "",
        (
            "one recurrent network for the team (ReLU, GRU, linear), told apart by a number, of "
            "own observation and last action, as in ICQ-MA's code base"
        ),
        option="RecurrentConfig",
    ),
    Departure(
        "battles: generator",
        "none for discrete actions",
        "",
        (
            "cloned behaviour; an action is allowed if it is available and at least 0.3 times as "
            "probable as the likeliest (discrete BCQ); the authors' deleted archive had 0.5"
        ),
        option="threshold=0.5",
        effect=in_battles("threshold 0.5"),
    ),
    Departure(
        "battles: joint targets",
        "Eq. 6",
        "",
        "one step; the archive had TD(0.75) on the data's actions",
        option="trace=0.75",
        effect=in_battles("trace 0.75"),
    ),
    Departure(
        "battles: default action",
        "no-op",
        "",
        (
            "the zero block (the agent is absent): no-op is not available to the living, so its "
            "value is a guess, too"
        ),
        option="default=first",
    ),
    Departure(
        "battles: MABCQ",
        "full state",
        "",
        "own history, like everybody; its second model sees history and next observation",
        option="transitions=False: value deviation only, as the archive",
    ),
    Departure(
        "battles: ICQ-MA",
        "its code",
        "",
        (
            "TD(0.75), linear mixer, weights at 0.1 (10 at quick, see the notes); plain Q outputs, "
            "one critic step a minibatch, Adam, greedy tests, where the code has a V+A head, a "
            "step per time index, RMSprop and samples"
        ),
        option="RecurrentConfig",
    ),
    Departure(
        "battles: minibatches",
        "32 episodes",
        "",
        (
            "whole episodes laid end to end into lanes as long as the longest one, 16 lanes or "
            "about 34 episodes (4 or 8 at quick): no padding that depends on who else is trained"
        ),
        option="lanes",
    ),
    Departure(
        "battles at quick",
        "",
        "",
        (
            "800 updates, agents of 32, critics of 64, learning rate 2e-3, targets copied every "
            "10 updates, five candidates, four subteams; score: mean win rate of the last four "
            "of eight evaluations, 32 battles each"
        ),
        option="BATTLES",
    ),
    Departure(
        "preset quick",
        "",
        "",
        (
            "minibatches of 128, networks of 64, 2,000 updates, learning rate 2e-3, 20 "
            "proposals, three seeds"
        ),
        option="PRESETS",
    ),
]
