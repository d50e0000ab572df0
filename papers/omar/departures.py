"""Where the paper's text, its released code and this package differ; run both ways where it says
so (common.reporting.departures).
"""

from collections.abc import Iterable

from common.reporting.departures import Departure, Effect
from papers.omar.ablation_options import SHOWN
from papers.omar.config import COLUMNS, QUALITIES
from papers.omar.experiment import AGENTS, COLLECTED


def column(table: str, other: str, default: str, rows: Iterable[str] = QUALITIES) -> Effect:
    """One column of a table against another, row by row."""
    return Effect(table, tuple(((row, other), (row, default)) for row in rows))


def reading(
    table: str,
    other: str,
    default: str,
    methods: Iterable[str] = COLUMNS,
    qualities: Iterable[str] = QUALITIES,
) -> Effect:
    """The rows of one reading against those of another, method by method."""
    return Effect(
        table,
        tuple(
            ((f"{quality}/{other}", method), (f"{quality}/{default}", method))
            for quality in qualities
            for method in methods
        ),
    )


def alone(option: str) -> Effect:
    """OMAR on navigation under one of the text's readings."""
    return column("ablation_options", option, "released", SHOWN)


DEPARTURES = [
    Departure(
        "OMAR's coefficient (tau of Eq. 2)",
        "0.5, 0.5, 0.7, 0.9 by quality",
        "per data set, 1.0 on all navigation data",
        "released map",
        option="reading=text, coefficient",
        effect=alone("coefficient"),
    ),
    Departure(
        "noise on the actions that collect medium and expert data",
        "added, level unspecified",
        "data without their collection",
        "0.1, by the spread of the released returns",
        option="noise",
        effect=reading(
            "ablation_data", "smooth, noise 0.3", "smooth, noise 0.1", qualities=COLLECTED
        ),
    ),
    Departure(
        "discount",
        "0.99",
        "0.95",
        "0.95",
        option="gamma",
        effect=alone("gamma"),
    ),
    Departure(
        "BatchNorm on the raw input, batch statistics in training",
        "not mentioned",
        "yes",
        "yes",
        option="input_norm",
        effect=alone("input_norm"),
    ),
    Departure(
        "gradient clipping at 0.5",
        "not mentioned",
        "yes",
        "yes",
        option="grad_clip",
        effect=alone("grad_clip"),
    ),
    Departure(
        "action penalty 1e-3 mean(pi^2)",
        "not mentioned",
        "yes",
        "yes",
        option="action_penalty",
        effect=alone("action_penalty"),
    ),
    Departure(
        "smoothing noise of target policies",
        "epsilon in Algorithm 1, unspecified",
        "none",
        "none; 0.2 clipped at 0.5 under text",
        option="target_noise",
        effect=alone("target_noise"),
    ),
    Departure(
        "sigma of Eq. 3",
        "root of the sum around the old mean",
        "root mean square around the new mean",
        "released",
        option="sigma",
        effect=alone("sigma"),
    ),
    Departure(
        "squared distance to a_hat",
        "squared norm",
        "mean over components",
        "released",
        option="squared_norm",
        effect=alone("squared_norm"),
    ),
    Departure(
        "actions of the CQL penalty",
        "random or current policy",
        "uniform only",
        "uniform",
        option="cql_policy_actions",
        effect=alone("cql_policy_actions"),
    ),
    Departure(
        "all of the text's readings at once",
        "",
        "",
        "released",
        option="reading=text",
        effect=reading("ablation_readings", "text", "released"),
    ),
    Departure(
        "updates",
        '"steps" on the axes',
        "one update round per 100 steps",
        "released (update_rounds)",
    ),
    Departure(
        "minibatch generator reset at every evaluation",
        "",
        "yes, a plain bug",
        "no",
        option="repeat_minibatches",
        effect=alone("repeat_minibatches"),
    ),
    Departure(
        "evaluation",
        "",
        "every 10 rounds",
        (
            "every 50 (paper), final one of 100 episodes; HalfCheetah every 5000, where the "
            "code's 500 would cost more than training"
        ),
        option="PRESETS, ROBOT_PRESETS",
    ),
    Departure(
        "HalfCheetah: networks, batch, learning rate, tau",
        "as everywhere",
        "256-256, 256, 3e-4, 0.005",
        "released",
        option="ROBOT_BACKBONE, reading=text",
    ),
    Departure(
        "HalfCheetah: sampler",
        "3 populations of 10, softmax",
        "cross-entropy: 2 populations of 20, 5 elites, carried over",
        "released",
        option="sampler, reading=text",
    ),
    Departure(
        "HalfCheetah: actions of the CQL penalty",
        "as everywhere",
        "10 uniform, 10 around pi(o) and 10 around pi(o'), std 0.2",
        "released",
        option="cql_noisy_samples, reading=text",
    ),
    Departure(
        "HalfCheetah: correction of their density",
        "",
        "subtracts the density, a plain bug; the published table has it",
        "subtracts its logarithm",
        option="density=released",
        effect=reading("ablation_density", "released", "log", ("ma_cql", "omar"), SHOWN),
    ),
    Departure(
        "HalfCheetah: the clock's cut",
        "",
        "flagged as an end in the data",
        "an end",
        option="data_reading",
    ),
    Departure(
        "HalfCheetah at quick",
        "",
        "",
        "64-64, batch 64, rates 1e-3: 1000 rounds are a hundred times fewer than the paper's",
        option="ROBOT_PRESETS",
    ),
    Departure(
        "world",
        "four against two",
        "three against one",
        "released",
    ),
    Departure(
        "agents' reward in navigation",
        "distance",
        "capped inverse distance, -5 per collision",
        "released",
    ),
    Departure(
        "behaviour policies",
        "MATD3",
        "not released",
        "MATD3, see the notes",
    ),
    Departure(
        "data",
        "one released set per seed",
        "on cloud disks",
        "rebuilt; the released files can be imported",
        option="data_size=omar",
    ),
    Departure(
        "prey of predator-prey and world in evaluation",
        "",
        "a pretrained policy, as a pickle",
        "ours, on released data too: a pickle is not read",
    ),
    Departure(
        "HalfCheetah: physics of evaluation",
        "",
        "MuJoCo 2.0",
        "3.17, on released data too, where users of 2.1 saw scores collapse",
    ),
    Departure(
        "MA-TD3+BC",
        '"open-source implementation, fine-tuned"',
        "not released",
        "backbone, alpha 2.5, no delay or noise",
        option="bc_weight",
        effect=column("ablation_weights", "bc_weight=10.0", "bc_weight=2.5"),
    ),
    Departure(
        "MA-ICQ",
        "",
        "not released; ICQ's own is for discrete actions, or for one agent",
        "SARSA twin critics, Gaussian policy",
        option="log_std_range",
    ),
    Departure(
        "MA-ICQ: what its temperatures are relative to",
        "nothing (ICQ: a constant Lagrange coefficient)",
        "nothing, in both of ICQ's",
        "nothing",
        option="temperature=spread",
        effect=column("ablation_icq", "spread", "constant"),
    ),
    Departure(
        "MA-ICQ: its temperatures on target values and on the policy's likelihood",
        "not given",
        "ICQ's: 1000 and 0.1 (several agents), 600 and 600 (one agent)",
        "1000 and 10, the second ours",
        option="target_temperature, policy_temperature",
        effect=column("ablation_icq", "multi_agent_release", "constant"),
    ),
    Departure(
        "MA-ICQ: weights on target values",
        "not given (ICQ: an importance ratio, its mean is one)",
        "ICQ's: mean one (several agents), halved and at most one (one agent)",
        "mean one",
        option="target_weights=clipped",
        effect=column("ablation_icq", "clipped", "constant"),
    ),
    Departure(
        "centralised CQL and OMAR",
        "not said which actions are replaced",
        "",
        "own action sampled, others' from the data",
        option="centralised",
    ),
    Departure(
        "budgets of Table 4",
        "not given",
        "",
        "30 valued actions each; CEM keeps 3 elites of 10",
        option="elites",
    ),
    Departure(
        "random shooting of Table 4",
        "not said what it draws, nor how often",
        "",
        "30 draws of the sampler's first Gaussian; 30 and 10 uniform draws stand beside it",
        option="sampler=uniform",
        effect=Effect(
            "table4",
            tuple(
                ((sampler, quality), ("random", quality))
                for sampler in ("uniform_30", "uniform_10")
                for quality in QUALITIES
            ),
        ),
    ),
    Departure(
        "how updates are run (the runtime claim)",
        "",
        "one seed, one agent after another; a permutation of all rows for every minibatch",
        "all seeds and agents at once; runtime.py times both",
        option="WAYS",
        effect=Effect(
            "runtime",
            (
                (
                    ("released_loop", "percent_over_ma_cql"),
                    ("fused", "percent_over_ma_cql"),
                ),
            ),
        ),
    ),
    Departure(
        "Figure 1c",
        '"over the behavior policy", of replay data',
        "",
        "over the data's mean return; over the replay's last policy beside it",
        effect=Effect(
            "figure1c",
            tuple(
                (("over_last_policy", f"agents={n}"), ("over_data", f"agents={n}")) for n in AGENTS
            ),
        ),
    ),
    Departure(
        "Figure 1d",
        '"the training step", of one state "during training"',
        "",
        "one actor step on fixed critics at ten points of the training; all states with a poor "
        "maximum counted, the worst drawn",
        option="LOOKS, STEPS, NEAR, POOR",
    ),
]
