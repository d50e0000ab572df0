"""What the paper leaves open and how it is read here; run both ways where it says so
(common.reporting.departures).
"""

from common.reporting.departures import Departure, Effect
from papers.otc.ablation_readings import SHOWN

PLACES = [f"{task}/{quality}" for task, quality in SHOWN]


def read_as(name: str, *distances: str) -> Effect:
    """Another reading of some distances on the data sets of the ablation."""
    pairs = tuple(
        ((f"{place}, {distance}", name), (f"{place}, {distance}", "default"))
        for place in PLACES
        for distance in distances
    )
    return Effect("ablation_readings", pairs)


DEPARTURES = [
    Departure(
        "length of the offline phase",
        "not given, though Table 1 is relative to it",
        "",
        "200,000 updates (TD3+BC 100,000)",
        option="OFFLINE_UPDATES",
    ),
    Departure(
        "data sets",
        "D4RL, version not given",
        "",
        "ours, D4RL-like; sizes of v2, the only ones in which 1 % holds 2000 rows",
    ),
    Departure(
        "observation",
        "every agent gets the robot's state",
        "",
        "the same",
    ),
    Departure(
        "improvement",
        "per cent, formula not given",
        "",
        (
            "100 (R_K - R_0) / abs(R_0) per seed on raw returns; score_gain, the difference of "
            "normalised scores, is stored too, because R_0 can be near 0"
        ),
    ),
    Departure(
        "evaluation",
        "not given",
        "",
        "20 extra episodes (100 in the particle worlds), not learnt from (3 and 40 at quick)",
        option="preset",
    ),
    Departure(
        "embedding",
        "conditional VAE, 10 dimensions",
        "",
        (
            "hidden layers of the base learner, Adam 1e-3, KL weight 0.1, 50,000 updates on "
            "standardised offline data, then frozen: Eq. 4 needs a fixed scale"
        ),
        option="EmbeddingConfig",
    ),
    Departure(
        "collapse of the embedding",
        "not discussed",
        "",
        "active dimensions and KL of every agent are in the result",
    ),
    Departure(
        "normaliser of d_q",
        "an expectation over s' and s'*",
        "",
        "means over the minibatch: of B's next states, and of the matches'",
        option="normaliser=conditional: given (s, a_i), as in the authors' MABCQ",
        effect=read_as("conditional normaliser", "d_q"),
    ),
    Departure(
        "sampling of 128 from 512",
        "Eq. 3",
        "",
        "without replacement (Gumbel top-k)",
        option="replacement=True",
        effect=read_as("replacement", "d_e", "d_q"),
    ),
    Departure(
        "importance weights",
        "not mentioned",
        "",
        "none: the bias is the purpose",
    ),
    Departure(
        "D of Eq. 4",
        "expectation over B_i^k",
        "",
        (
            "40 minibatches after merging, before the updates, without the newest rows (they "
            "match themselves); stored"
        ),
        option="distance_draws",
    ),
    Departure(
        "range of alpha",
        "not given",
        "",
        "kept in [0.1, 5], hits are counted in the result",
        option="alpha_range",
    ),
    Departure(
        "B",
        "B_i^k with all online rows",
        "",
        "the same; D from the newest deployment only",
    ),
    Departure(
        "where a deployment's last episode is cut",
        "not said",
        "",
        "a timeout: values bootstrap",
    ),
    Departure(
        "BCQ, AWAC, TD3+BC constants",
        "networks, learning rates and L in Table 3",
        "",
        (
            "the rest from the authors' code (BCQ, TD3+BC), rlkit and CORL (AWAC: temperature 1, "
            "weights up to 100)"
        ),
        option="the learners' configurations",
    ),
    Departure(
        "BREMEN",
        "adapted: offline first, then tuned",
        "",
        (
            "five models of (s, a_i) -> (s', r) per agent, one hidden size of 256 throughout; "
            "cloning in the offline phase; 25 trust-region steps (KL 0.01) after it and after "
            "each deployment's updates, on rollouts of 25 steps from the last minibatch's states"
        ),
        option="BREMENConfig",
    ),
    Departure(
        "Balanced Replay",
        "named",
        "",
        (
            "its authors' density ratio and priorities without the ensemble; online share 0.5 in "
            "a deployment's first draws"
        ),
        option="BalancedConfig",
    ),
    Departure(
        "online only",
        "named",
        "",
        "the newest deployment's rows",
    ),
    Departure(
        "Predator-Prey, Navigation",
        "rewards and speeds",
        "",
        (
            "kinematic: p + a, square [-1, 1], no collisions, 25 steps, all positions observed, "
            "prey at 0.13 straight away from the nearest predator, sliding along walls"
        ),
        option="envs/kinematic",
    ),
    Departure(
        "non-stationary navigation",
        "beta ranges",
        "",
        (
            "beta is drawn at every step offline; online it is 0.1 to 0.2, constant within a "
            "deployment; 50 steps, 100,000 offline rows"
        ),
        option="shift",
    ),
    Departure(
        "CQL",
        "discrete, for SMAC",
        "",
        (
            "double Q-learning with CQL(H) over available actions, weight 1; no actor, so Table "
            "3's actor rate has nothing to set; two layers of 256 as in Table 3, without memory"
        ),
        option="DiscreteCQLConfig",
    ),
    Departure(
        "agents exploring in turn",
        '"takes the exploration policy"',
        "",
        (
            "10 % random available actions; every agent learns from the battles of its own turn, "
            "so a deployment costs as many turns as agents"
        ),
        option="EXPLORE",
    ),
    Departure(
        "StarCraft II",
        "SMAC 5m_vs_6m, medium policies",
        "",
        "envs/smac; medium is the mix of snapshots nearest to og-marl's Medium",
    ),
    Departure(
        "preset quick",
        "",
        "",
        (
            "forty times fewer updates, five deployments, learning rate 2e-3, smaller "
            "minibatches, networks and candidate sets"
        ),
        option="PRESETS",
    ),
]
