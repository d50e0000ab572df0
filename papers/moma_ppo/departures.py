"""Where the paper's text, its release and this package differ, and what both leave open; run both
ways where it says so (common.reporting.departures).
"""

from common.reporting.departures import Departure, Effect
from envs.coordination.game import SETTINGS


def in_the_game(name: str) -> Effect:
    """Another reading in all settings of the coordination game."""
    pairs = tuple(((setting, name), (setting, "default")) for setting in SETTINGS)
    return Effect("ablation_game_readings", pairs)


def on_true_reward(name: str) -> Effect:
    """Of a reading, on what greedy teams earn in the simulator, a step over 50 steps."""
    pair = ((name, "true_50"), ("default", "true_50"))
    return Effect("ablation_readings", (pair,), unit="reward a step")


RAW_REWARDS = Effect(
    "ablation_parts",
    tuple(((view, "MOMA-IQL, rewards as released"), (view, "MOMA-IQL")) for view in ("fo", "po")),
)

DEPARTURES = [
    Departure(
        "the game's observation, horizon, data",
        "not given",
        "",
        (
            "last joint action and a first-step flag, ten steps, 10,000 rows; each step ends an "
            "episode for learning (the paper's Q of 1 says so)"
        ),
        option="envs/coordination",
    ),
    Departure(
        "reward and end of a model step",
        "ensemble mean, majority vote",
        "of the drawn member",
        "ensemble mean, majority vote",
        option="combine=released",
    ),
    Departure(
        "next state",
        "of a member drawn uniformly",
        "the drawn member's mean, without noise",
        "that member's mean, without the Gaussian's noise",
    ),
    Departure(
        "what the model predicts",
        "the state",
        "every agent's observation, copies included",
        "the state, once for all observation functions",
    ),
    Departure(
        "eps_g",
        "of state and reward",
        "counts every copy of the state",
        "of state and reward",
        option="uncertainty=released",
    ),
    Departure(
        "l_eps",
        "one number, clips and stops",
        "",
        (
            'clipping and stopping are two parameters (l_clip, l_stop): "not adaptive" changes '
            "the second only. The release's stop never fires (it tests the clipped value); here "
            "a test asserts that rollouts are cut"
        ),
        option="VARIANTS",
    ),
    Departure(
        "what l_eps is",
        "not given",
        "2 for every task",
        (
            "the 0.9 quantile of eps_g on held-out rows, under the data's actions with the noise "
            "that policies start with: rollouts end where the models agree less than nine in ten "
            'times there, which "avoids training the policies on unfeasible data". Without '
            "the noise new teams' rollouts on Reacher last one step. The other reading, seven "
            "steps of ten for an untrained team, hardly cuts trained ones (notes.md). No return is "
            "looked at; calibrate.py shows other quantiles and lengths"
        ),
        option="l_eps=length, calibration.quantile",
        effect=on_true_reward("l_eps=length"),
    ),
    Departure(
        "lambda_g, lambda_r",
        "not given",
        "0.1 and 0.05 for every task",
        (
            "an uncertainty of l_eps, or of eps_r at its quantile, costs half a standard "
            "deviation of the data's rewards"
        ),
        option="papers/moma_ppo/calibration.py",
    ),
    Departure(
        "what is behind a step that uncertainty cut",
        '"the value of the last state"; "does not penalize agents"',
        "the value of the state that was generated there",
        (
            "the value of the state before it, the last that the models agreed about. The state "
            "behind it is never continued, so nothing but itself teaches its value, and teams "
            "steer to where it is too large. An end there, as MOReL has it, is what the text "
            "says it is not (ablation_readings.py)"
        ),
        option="cut=next, cut=end",
        effect=on_true_reward("cut=next"),
    ),
    Departure(
        "units of values",
        "not given",
        "raw rewards",
        (
            "rewards over the standard deviation of the data's discounted returns: one gradient "
            "norm is shared by all losses, and with returns of 400 the value's takes it all"
        ),
        option="value_units=raw",
    ),
    Departure(
        "loss of the model's means",
        "likelihood",
        "",
        (
            "paper: likelihood; elsewhere squares, with the deviations fitted beside them: on the "
            "ant's held-out episodes less wrong about the state, and about the reward after ten "
            "steps, where easy numbers own the likelihood's gradient (ablation_models.py). The "
            "rate falls as half a cosine"
        ),
        option="model.loss, model.beta, model.falling",
    ),
    Departure(
        "ends in the model's loss",
        "not given",
        "every row weighs the same",
        (
            "paper: as released; elsewhere rows that end an episode weigh 30 times as much. One "
            "row in some 3,000 of the ant's full-replay data does, and held-out ends are hardly "
            "ever foreseen otherwise; what is foreseen, and falsely, is in a model's result"
        ),
        option="model.end_weight",
    ),
    Departure(
        "what is held out of the model's data",
        "not given",
        "a tenth of the transitions",
        "a tenth of the episodes, whole: errors of ten steps must be of rows never seen",
        option="model.split",
    ),
    Departure(
        "inputs and targets of the model",
        "not given",
        "",
        (
            "paper: as they are, next state itself (release); quick and standard: standardised, "
            "change of the state, as quick's updates learn nothing otherwise"
        ),
        option="scaled, delta",
    ),
    Departure(
        "updates of the model",
        "not given",
        "10,001 by default, its comment says a million",
        "200,000",
        option="WorldModelConfig.updates",
    ),
    Departure(
        "epochs of MOMA-PPO",
        '"to convergence"',
        "",
        "10,000",
        option="preset",
    ),
    Departure(
        "ratio of PPO",
        "MAPPO",
        "of the whole team",
        "of the whole team",
        option="ratio=agent",
        effect=in_the_game("ratio of each agent"),
    ),
    Departure(
        "value decomposition",
        '"QMIX"',
        "weights of any sign",
        "weights of any sign",
        option="mixer=monotone",
        effect=in_the_game("monotone mixer"),
    ),
    Departure(
        "targets of the value",
        "not given",
        "",
        (
            "sums of rewards to the rollout's end, bootstrapped there; the larger of clipped and "
            "plain loss"
        ),
    ),
    Departure(
        "clip of values",
        "not given",
        "0.2 an epoch, of raw returns",
        (
            "paper: 0.2 an epoch, in units of values (above), in which the ant's returns of 400 "
            "are a few; quick and standard: none, as within their epochs a fifth of a unit each "
            "is too slow, and with raw returns it made the value's loss explode (a pilot)"
        ),
        option="value_clip",
    ),
    Departure(
        "entropy",
        "not given",
        "",
        "coefficient follows a target of minus the joint action's size",
        option="entropy_target",
    ),
    Departure(
        "penalty on means beyond the bounds",
        "not in the text",
        "",
        (
            "as released, but the likelihood ratio only weighs it: with a gradient through the "
            "ratio it makes taken actions unlikely and pushed means further out (a test shows "
            "it)"
        ),
        option="bound_weight",
    ),
    Departure(
        "first standard deviation of policies",
        "not given",
        "",
        (
            "paper: 1 (release); quick and standard: 0.37, as at 1 some seeds saturate their "
            "torques and need many epochs to return"
        ),
        option="initial_log_std",
    ),
    Departure(
        "Reacher's expert teams",
        "MAPPO, clockwise and counter-clockwise",
        "",
        (
            "ours, trained online without memory, gamma 0.95, the clock's end terminal "
            "(bootstrapping from cut states diverged: spinning arms promised ever more), refined "
            "at less entropy until their data return what the authors' do"
        ),
        option="envs/mujoco/reaching.py",
    ),
    Departure(
        "Ant's data",
        "D4RL",
        "",
        "rebuilt from our SAC policies; full-replay data from the part of the training that is "
        "nearest to D4RL's, see Table 2, where every snapshot plays the steps nearest to it (the "
        "last one half as many as others)",
        option="--source d4rl: of envs.datasets",
    ),
    Departure(
        "which leg a partially observing agent sees",
        "the one it drives",
        "lists that are off by one leg",
        "the one it drives",
        option="mapping=released",
    ),
    Departure(
        "scores",
        "expert and random constants",
        "",
        "the paper's own (D4RL's for the ant)",
    ),
    Departure(
        "CQL's density correction",
        "",
        "subtracts the density itself, a plain bug",
        "log densities",
    ),
    Departure(
        "ITD3+BC",
        "",
        "raw rewards, cloning term summed over the action's components",
        "as released",
    ),
    Departure(
        "MATD3+BC",
        "named, not released",
        "",
        (
            "twin critics mixed by a state-dependent mixer, TD3's noise and delay, lambda = 2.5 "
            "/ mean abs(Q) of the team"
        ),
    ),
    Departure(
        "reward scale",
        "",
        "1000 / range of returns on the ant",
        "as released, for IQL, MAIQL and IBC on the ant",
    ),
    Departure(
        "MOMA-IQL",
        '"unstable"',
        "",
        "both with rewards of the model scaled as the data's, and raw as released",
        option="both in ablation_parts.py",
        effect=RAW_REWARDS,
    ),
    Departure(
        "collapsed MAIQL runs",
        "filtered out",
        "",
        "nothing is filtered",
    ),
    Departure(
        "online rows in a minibatch of MAIQL-ft",
        "as many as offline ones at the end",
        "their share of all rows",
        (
            "from none to one half with the progress of fine-tuning: the same where it makes as "
            "many steps as there are offline rows, as in the paper"
        ),
    ),
    Departure(
        "MOMA-IQL's own rollouts",
        "not given",
        "1,000 kept",
        "5,000 kept",
        option="rollouts.capacity",
    ),
    Departure(
        "score",
        "100 episodes at the end",
        "",
        (
            "paper: the same; standard: 20 episodes at each of the last five evaluations, as "
            "teams that walk at one checkpoint stand at the next. Each evaluation has start states "
            "of its own, the same for every method"
        ),
        option="averaged, episodes",
    ),
    Departure(
        "preset standard: data",
        "",
        "",
        (
            "a million rows, as published. The ant: random, medium and full-replay data; expert "
            "data would add a third to Table 4b, which is two thirds of the preset, and only "
            "claims that name them need them: these are not run"
        ),
        option="LEFT_OUT",
    ),
    Departure(
        "preset standard: seeds",
        "3",
        "",
        "the ant: 3, partly observed 5, as at the published spread three would hardly see its "
        "claims, and MOMA-PPO 5 where it is compared with its parts; Reacher: 5, as differences "
        "between methods are of the size of those of seeds",
        option="PRESETS",
    ),
    Departure(
        "preset standard: rates and minibatches",
        "not given",
        "5e-5 and 64 of PPO, 3e-4 and 256 of the others",
        "PPO 3e-4 and 250; the others 3e-4 and 128 on the ant, 1e-3 and 64 on Reacher",
        option="PRESETS",
    ),
    Departure(
        "preset standard: MAIQL-ft",
        "",
        "a million steps in the simulator",
        "10,000, one for each of its updates there",
        option="PRESETS",
    ),
    Departure(
        "one world model for all seeds",
        "not said",
        "",
        "of a data set one model is trained, with one seed: intervals of MOMA-PPO are of policies, "
        "not of models",
    ),
    Departure(
        "how a world model's networks are kept",
        "not said",
        "",
        "rounded to half precision, before they are assessed and learned in: files are small "
        "enough to go with results",
    ),
    Departure(
        "target networks of the baselines",
        "not given",
        "tau = 0.005, for a million updates",
        (
            "paper: the same. Where updates are fewer, as fast as critics need to know 86 % of a "
            "discounted return (0.02 and TD3's 0.04 for the ant's 10,000; at 0.005 they would know "
            "39 and 22 %), but no faster than 1, which the ant at quick has: MOMA-PPO has no "
            "target networks, and a budget should cut nobody's horizon"
        ),
        option="tau",
    ),
    Departure(
        "what limits eps_r",
        "l_eps, as eps_g",
        "",
        "the same; eps_r is a variance of rewards and hardly ever as large, so that this limit "
        "limits nothing; what uncertainty costs is among the facts of every result (penalty)",
    ),
    Departure(
        "preset standard: networks",
        "",
        "256, memory 128",
        (
            "the ant: 128, memory 32; an update costs a tenth, and cloning reached the published "
            "score with 128. Reacher: 64, memory 16. World models of the ant: 4 layers of 256, "
            "50,000 updates at a falling rate, the most accurate of those tried by all four "
            "held-out errors (of state and reward, after one step and ten); Reacher's: quick's, "
            "6,000 updates, whose errors are a tenth of the ant's"
        ),
        option="PRESETS",
    ),
    Departure(
        "preset standard: how long",
        '"to convergence"',
        "a million updates",
        (
            "until curves are flat. Reacher: 12,000 updates; MOMA-PPO 1,500 epochs, as it rose to "
            "1,000 in a pilot. The ant: 10,000 updates, as cloning gained 0.09 from 3,000 to "
            "12,000; MOMA-PPO 1,000 epochs, as in the simulator it walks after 300 and in a "
            "learned model still gains at 700; Figure 6 and the ablations as many, in one view "
            "(config.py, ABLATED). Scores are means of the last five of twenty evaluations, the "
            "last quarter of everybody's training. table4_budgets.py says what was cut short"
        ),
        option="PRESETS",
    ),
    Departure(
        "preset quick",
        "",
        "",
        (
            "two seeds, networks of 64 (memory 16, world model 128); 1,000 gradient steps of "
            "every method on Reacher (25 epochs), 120 on the ant (3), where nobody walks after so "
            "few: quick shows that cells run, not who is better"
        ),
        option="PRESETS",
    ),
]
