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
        "200,000 updates (TD3+BC 100,000), by standard's check: doubling has to add less than 5 "
        "points (ablation_offline.py: hopper medium and halfcheetah replay, two seeds). Its "
        "updates times rates are those of 200,000 for BCQ, of 160,000 for AWAC",
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
            "100 (R_K - R_0) of a seed over abs(R_0), mean over seeds, on raw returns: over the "
            "seed's own R_0 (stored, too) one seed near 0 outweighs all; no claim is in per cent"
        ),
    ),
    Departure(
        "evaluation",
        "not given",
        "",
        (
            "48 extra episodes (100 in the particle worlds; at paper 100 everywhere) before the "
            "first and after the last deployment, not learnt from; fewer between, for the curves"
        ),
        option="final_episodes",
    ),
    Departure(
        "data sets on which offline policies stand still",
        "AWAC on halfcheetah random is left out: it does not work",
        "",
        (
            "where their mean score is below 5 points, per cent are shown and count for no mean; "
            "means in points have all data sets"
        ),
        option="STANDING",
    ),
    Departure(
        "episodes of a deployment",
        "M transitions",
        "",
        "1 % of the offline rows, rounded down to whole episodes of the longest length; of 100,000 "
        "rows (quick and standard) that is 1,000, from which D is drawn with repeats",
    ),
    Departure(
        "embedding",
        "conditional VAE, 10 dimensions",
        "",
        (
            "hidden layers of the base learner, Adam 1e-3, KL weight 0.1 on the mean over "
            "dimensions, 50,000 updates (5,000 at standard, 500 at quick) on standardised offline "
            "data, then frozen: Eq. 4 needs a fixed scale"
        ),
        option="EmbeddingConfig",
    ),
    Departure(
        "what the embedding's decoder rebuilds",
        '3.5: a_i from (s, s\', z); 3.3: "VAE to encode the state-action pair and next state"',
        "",
        (
            "a_i. Given (s, s') a robot's a_i is all but known, so z is useful in at most as many "
            "directions as a_i has; effective dimensions are in ablation_ranking"
        ),
        option="embedding_target=next_state: s' from (s, a_i, z)",
        effect=read_as("embedding of next states", "d_e"),
    ),
    Departure(
        "a plain VAE",
        "3.3, as above",
        "",
        "not used",
        option="embedding_target=transition: (s, a_i, s') from z",
        effect=read_as("plain embedding", "d_e"),
    ),
    Departure(
        "normaliser of d_q",
        "E V(s') over s', \"the deviation from the expected value\"",
        "",
        (
            "given (s, a_i), as the authors' MABCQ writes it: (Q - r) / gamma. Matches have about "
            "equal values, so means over the minibatch would divide both sides by about the same, "
            "which ranks do not see"
        ),
        option="normaliser=minibatch: over B's next states, and over the matches'",
        effect=read_as("minibatch normaliser", "d_q"),
    ),
    Departure(
        "V(s') of d_q",
        "E Q(s', a) over the agent's policy",
        "",
        (
            "mean over ten proposals of BCQ or samples of AWAC (two at quick and standard), though "
            "BCQ acts by the best of 100; of TD3+BC the policy's action, of CQL the mean over its "
            "softmax; 0 after a terminal state, as in the learners' targets, so that a terminal "
            "row is at distance 0 from another"
        ),
        option="value_samples",
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
        "kept in [0.1, 5], hits are counted in the result. What is kept is what the next ratio of "
        "Eq. 4 starts from, so after a hit alpha is no longer alpha^0 D^k / D^1: with d_q, whose "
        "mean over rows has heavy tails, it often ends low after a leap to 5",
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
            "the rest from the authors' code (BCQ, TD3+BC), but BCQ's generator has the actor's "
            "1e-4 and 64 (there 1e-3 and 750); TD3+BC's weight is 250: 2.5 of actions within 0.1, "
            "as the worlds it runs in have them and its code takes them; AWAC is between rlkit "
            "(log-std's form) and CORL (linear mean without tanh, exponential weights up to 100, "
            "temperature 1)"
        ),
        option="the learners' configurations",
    ),
    Departure(
        "Table 3's merged cells",
        "(64, 64) and (256, 256), 4000 and 2000, under five columns",
        "",
        "the first for BCQ and AWAC, the second for the other three",
        option="HYPER",
    ),
    Departure(
        "panels of Figures 3 and 5, agents of Figure 7, alphas of Figure 8",
        "legible in the pictures only",
        "",
        (
            "Figure 3: random and replay of three robots; 5: halfcheetah random and replay, "
            "walker2d and hopper medium; 7: 2, 4, 6 and 8 agents; 8: 0.5, 1 and 2"
        ),
    ),
    Departure(
        "BREMEN",
        "adapted: offline first, then tuned",
        "",
        (
            "five models of (s, a_i) -> (s', r) per agent, one hidden size of 256 throughout; "
            "cloning in the offline phase; 300 trust-region steps (KL 0.05) after it, because "
            "after 25 (KL 0.01) nobody had caught the prey yet, and 25 (10 at standard) after each "
            "deployment's updates, on rollouts of 25 steps from the last minibatch's states; every "
            "model is fitted to a minibatch of its own"
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
            "100,000 rows (replay: D4RL's), fifty times fewer updates, two deployments, learning "
            "rate 2e-3, smaller minibatches, networks and candidate sets; four seeds, three in the "
            "particle worlds; readings are compared on halfcheetah only"
        ),
        option="PRESETS",
    ),
    Departure(
        "preset standard",
        "",
        "",
        (
            "quick's data (predator-prey: the paper's); the paper's networks, |B|, |D|, batch and "
            "K; a quarter of L at four times the learning rates (TD3+BC, CQL: an eighth at eight, "
            "BREMEN: an eighth at three), Balanced Replay's network included; offline at three to "
            "ten times the rates, BCQ and AWAC until doubling adds less than 5 points "
            "(ablation_offline: two data sets, two seeds; on halfcheetah replay it still adds 4); "
            "ten seeds, five in "
            "Figures 6a, 6b, 7 and 8"
        ),
        option="PRESETS",
    ),
]
