"""What the paper leaves open and how it is read here; run both ways where it says so
(common.reporting.departures).
"""

from common.reporting.departures import Departure, Effect
from papers.cast_bcq.ablation_ambiguities import TASK
from papers.cast_bcq.ablation_grid import FEWER
from papers.cast_bcq.config import BATTLE_METHODS, MAPS, METHODS, PERTURBED, ROBOTS, SMALL_MAPS
from papers.cast_bcq.grid import METHODS as GRID_METHODS


def on_one_robot(name: str, default: str = "default") -> Effect:
    """Another reading on one robot's uncoordinated data."""
    robot = ROBOTS[TASK]
    return Effect("ablation_ambiguities", (((robot, name), (robot, default)),))


def without_perturbation() -> Effect:
    """BCQ, I-BCQ and MABCQ without their perturbation, on uncoordinated data."""
    rows = [f"{robot}/{method}" for robot in ROBOTS.values() for method in PERTURBED]
    pairs = tuple(((f"{row}, no perturbation", "method"), (row, "method")) for row in rows)
    return Effect("controls", pairs)


def without_best_team() -> Effect:
    """Battles of all teams but the best, for the paper's methods."""
    pairs = tuple(
        ((f"{name}/without the best", method), (f"{name}/all teams", method))
        for name in SMALL_MAPS
        for method in BATTLE_METHODS
    )
    return Effect("ablation_teams", pairs)


def in_battles(name: str, default: str = "default", maps: tuple[str, ...] = MAPS) -> Effect:
    """Another reading, on the maps that it is run on."""
    pairs = tuple(((place, name), (place, default)) for place in maps)
    return Effect("ablation_battles", pairs)


DEPARTURES = [
    Departure(
        "A1 what agents observe",
        "own body parts",
        "",
        (
            "everything, all methods: like is compared with like, and with own joints alone "
            "Hopper and Walker2d can hardly be balanced (no script runs that: "
            "observation=own_joints). Own joints and the torso's five numbers beside it, and the "
            "archive's reading (CAST-BCQ and MABCQ everything, I-BCQ and ICQ-MA own joints and "
            "torso)"
        ),
        option="observation=own_joints_torso",
        effect=on_one_robot("A1: own joints and torso"),
    ),
    Departure(
        "A2 what unmasked agents do in Eq. 8",
        "the joint policy's actions",
        "",
        "the best of the joint candidates",
        option="others=data",
        effect=on_one_robot("A2: others from the data"),
    ),
    Departure(
        "battles: whose joint policy Eq. 7 has",
        "the joint policy's",
        "",
        "the online network's, by candidates of its own; with the option the target network's, "
        "whose best candidate Eq. 6 has found already",
        option="shared=True",
        effect=in_battles("shared joint policy", maps=SMALL_MAPS),
    ),
    Departure(
        "A3 range of latents",
        "not given",
        "",
        "0.5, as BCQ's code",
        option="latent_clip=0.05",
        effect=on_one_robot("A3: latent clip 0.05"),
    ),
    Departure(
        "A4 uncoordinated data for three agents",
        '"a quarter each"',
        "",
        "every combination of medium and expert, eight for Hopper; parts are equal in rows, not in "
        "trajectories, as bad teams fall early",
    ),
    Departure(
        "one data set of each kind",
        "not said",
        "",
        "all seeds learn from the same rows, robots and battles alike: intervals are of training, "
        "not of the data nor of the policies behind them",
    ),
    Departure(
        "A4 whose policies the uncoordinated agents play",
        "medium and expert of one SAC run",
        "",
        "medium and expert of two runs, by turns: Hopper's third agent plays the first run again. "
        "Mixed teams of one run play nearly as well as its medium one, so nothing miscoordinates "
        "(envs/mujoco/policies/*/card.json). At standard one run's have twice the updates, see "
        "Budget",
        option="uncoordinated=snapshots",
        effect=Effect(
            "ablation_data",
            tuple(
                ((f"one run/{robot}", method), (f"two runs/{robot}", method))
                for robot in ROBOTS.values()
                for method in METHODS
            ),
        ),
    ),
    Departure(
        "A5 distribution of subteams",
        "a mean",
        "",
        "exact over all subsets up to three agents; above, a uniform size, then a uniform subset; "
        "the empty one belongs to them, which the archive never draws in larger teams",
        option="subteams",
    ),
    Departure(
        "joint critics on robots",
        "one joint value, Eq. 6",
        "",
        "a pair for the team, and a single individual value an agent. The archive has a pair for "
        "every agent, whose targets take the others' next actions from the data, and two "
        "individual values, of which the first acts",
    ),
    Departure(
        "A6 target networks",
        "copied each step in the listing",
        "",
        "Polyak with tau = 200 / updates at every preset, where BCQ's code has 0.005 for a "
        "million updates: a critic then knows 86 % of a discounted return, at 0.005 and the "
        "archive's 20,000 updates 63 %, at a tenth of these 10 %",
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
        "100 trajectories of random policies",
        "",
        (
            "uniformly random actions, forty data sets (six at quick); 1,000 trajectories beside "
            "the 100, which leave most joint actions unseen. The other reading, policies drawn for "
            "every trajectory from a Dirichlet distribution, hides what the figure is about"
        ),
        option="behaviour=dirichlet",
        effect=Effect(
            "ablation_grid",
            tuple((("dirichlet", name), ("uniform", name)) for name in GRID_METHODS),
        ),
    ),
    Departure(
        "the grid: CAST-BCQ",
        "not in Figure 1",
        "",
        "beside I-BCQ and I-ICQ, our addition",
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
        "mean return of the last evaluations, five of twenty at paper, five of ten at standard, "
        "one of two at quick; every evaluation has its own start states, the same for all "
        "methods",
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
        "not given",
        "",
        "two hidden layers of one width: 400 for critics and values, 752 for VAEs; VAEs of 256, "
        "with minibatches of 100, make preset paper affordable (benchmarks/cast_bcq.txt)",
        option="vae_hidden=256",
    ),
    Departure(
        "minibatches of the robots",
        "not given",
        "",
        "1,024 rows at paper, as the archive; BCQ's code has 100, which with generators of 256 "
        "makes preset paper affordable",
        option="batch_size=100",
    ),
    Departure(
        "battles: copies to target networks",
        "copied each step in the listing",
        "",
        "every updates / 200 updates, so that critics of all presets look as many steps ahead; "
        "ICQ-MA's code every 600",
        option="TIME_CONSTANTS",
    ),
    Departure(
        "perturbation of CAST-BCQ's proposals",
        "in the background of BCQ only; 0.001 in the archive",
        "",
        "none",
    ),
    Departure(
        "perturbation of the baselines' proposals",
        "in the background of BCQ",
        "",
        "BCQ's 0.05; it ends near its bound, which is wider than what proposals differ by but on "
        "HalfCheetah's and Walker2d's data of two trainings (diagnosis.py). An arm without it "
        "stands beside every baseline (controls.py)",
        option="perturbation=0",
        effect=without_perturbation(),
    ),
    Departure(
        "lambda of Eq. 10 and of the baselines' targets",
        "in [0, 1]",
        "",
        "0.9 for CAST-BCQ and 0.75 for BCQ, I-BCQ and MABCQ, both from the archive, the second "
        "also BCQ's code",
        option="weight=0.75",
        effect=on_one_robot("lambda 0.75"),
    ),
    Departure(
        "weight of the generator's divergence (Eq. 3)",
        "1, of sums",
        "",
        "BCQ's code: 0.5, of means. Proposals then differ little for an observation "
        "(diagnosis.py); smaller weights spread them, and no way of acting on them does well",
        option="vae_kl_weight",
    ),
    Departure(
        "ICQ-MA: weights of its target",
        "of ICQ: exp(Q / alpha) / Z(s), Z over the behaviour's actions in the state",
        "",
        "that, with four actions of the policy for the behaviour's, and at most 1, as in ICQ's "
        "release for one robot. Its release for several agents puts the minibatch in the place "
        "of Z; there returns are at most 20 at a temperature of 1000, on robots weights pass "
        "1 / gamma and values diverge",
        option="target_weights=minibatch",
        effect=on_one_robot("ICQ-MA: weights over the minibatch", "ICQ-MA"),
    ),
    Departure(
        "ICQ-MA: the other release for one robot",
        "",
        "",
        "not taken: half the minibatch's weights and at most 1 is a discount of about a half",
        option="target_weights=halved",
        effect=on_one_robot("ICQ-MA: halved weights", "ICQ-MA"),
    ),
    Departure(
        "ICQ-MA on robots",
        "its code, which is for discrete actions",
        "",
        "Gaussian policies whose spread does not depend on the observation, policy weights over "
        "the minibatch at temperature 100, gradients clipped at 20, all three from the archive; "
        "the advantage's baseline is the mean over four actions of the policy, where the code "
        "sums over all",
        option="ICQMAConfig",
    ),
    Departure(
        "MABCQ on robots",
        "its paper",
        "",
        "value deviation by (Q - r) / gamma, 1 behind the end; transition normalisation by two "
        "VAEs, whose latent means' densities stand for those of actions; each within 1 +- 0.8, "
        "their product with mean 1 over the minibatch",
        option="epsilon",
    ),
    Departure(
        "the grid's learners",
        "not given",
        "",
        "networks of 64, learning rate 1e-3, minibatches of 64, 5,000 updates (1,500 at quick); "
        "generators cloned, with discrete BCQ's threshold of 0.3; temperatures of ICQ's code, and "
        "its policy weights over the minibatch",
        option="DiscreteConfig",
    ),
    Departure(
        "I-ICQ: weights of its target",
        "of ICQ: exp(Q / alpha) / Z(s), Z over the behaviour's actions in the state",
        "",
        "that, the behaviour cloned and all its actions summed over. The minibatch in the place of "
        "Z, as in its release for several agents, weighs states of high value more than 1 / gamma, "
        "and values leave what any team can return (diagnosis_grid.py)",
        option="target_weights=minibatch",
        effect=Effect(
            "ablation_grid",
            tuple(
                ((f"{data}, weights over the minibatch", "i_icq"), (data, "i_icq"))
                for data in ("uniform", FEWER)
            ),
        ),
    ),
    Departure(
        "joint candidates",
        "n",
        "",
        "candidate j pairs the j-th proposal of every agent: n joint actions, not n^N; ten at "
        "paper, five below",
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
        "battles: whose data",
        '"non-expert or multi-source"',
        "",
        "multi-source on every map, the best team among the sources",
        option="teams=without_best",
        effect=without_best_team(),
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
        "battles: what I-BCQ chooses from",
        "its generator's actions",
        "",
        (
            "the same threshold for all methods; without one I-BCQ is independent Q-learning on "
            "available actions, and its generator for nothing"
        ),
        option="threshold=0",
        effect=in_battles("I-BCQ, threshold 0", "I-BCQ"),
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
        effect=in_battles("default no-op"),
    ),
    Departure(
        "battles: what MABCQ chooses from",
        "its generator's actions",
        "",
        "the same threshold for all methods, as I-BCQ",
        option="threshold=0",
        effect=in_battles("MABCQ, threshold 0", "MABCQ"),
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
            "TD(0.75), linear mixer, target weights over the minibatch (returns are at most 20 "
            "at a temperature of 1000, so they stay near one); plain Q outputs, one critic step a "
            "minibatch, Adam, greedy tests, where the code has a V+A head, a step per time index, "
            "RMSprop and samples"
        ),
        option="RecurrentConfig",
    ),
    Departure(
        "battles: ICQ-MA's policy temperature",
        "0.1 in its code",
        "",
        (
            "0.1 at paper, 10 below: there critics are still off by return points for rare "
            "actions, and policies weighted at 0.1 leave the data (notes.md, Battles); the effect "
            "of its own temperature at smaller budgets is measured"
        ),
        option="policy_temperature=0.1",
        effect=in_battles("ICQ-MA, temperature 0.1", "ICQ-MA"),
    ),
    Departure(
        "battles: minibatches",
        "32 episodes",
        "",
        (
            "whole episodes laid end to end into lanes as long as the longest one, 16 lanes or "
            "about 34 episodes (2 or 4 at quick, 4 or 8 at standard): no padding that depends on "
            "who else is trained"
        ),
        option="lanes",
    ),
    Departure(
        "battles at standard",
        "",
        "",
        (
            "3,000 episodes, 4,000 updates, agents and critics of 64, learning rate 1e-3, five "
            "candidates, four subteams, eight seeds (readings five), the last five of ten "
            "evaluations of 64 battles, each with battles of its own, the same for every method"
        ),
        option="BATTLES",
    ),
    Departure(
        "battles at quick",
        "",
        "",
        (
            "two seeds, 450 updates, two lanes, agents and critics of 32, learning rate 2e-3, five "
            "candidates, four subteams; score: mean win rate of the last two of four "
            "evaluations, 32 battles each; readings on the smallest map"
        ),
        option="BATTLES",
    ),
    Departure(
        "preset standard, robots",
        "",
        "",
        (
            "200,000 rows, minibatches of 128, networks of 64, 8,000 updates (16,000 on experts' "
            "data and on one training's, where curves still gained), learning rate 2e-3, 20 "
            "proposals in acting and 5 in targets, ten seeds (five on coordinated data and for "
            "readings), five of ten evaluations of ten episodes. On the longer-trained data curves "
            "still rise at 16,000 (see Budget, budgets.py)"
        ),
        option="PRESETS",
    ),
    Departure(
        "preset quick",
        "",
        "",
        (
            "minibatches of 64, networks of 64, 700 updates, learning rate 2e-3, 20 proposals "
            "in acting and 5 in targets, three seeds (two on coordinated data and for readings)"
        ),
        option="PRESETS",
    ),
]
