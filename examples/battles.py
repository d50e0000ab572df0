"""A battle as a PettingZoo parallel environment, played at random.

.venv/bin/python -m examples.battles
"""

import numpy as np

from envs.smac.parallel import SmacParallelEnv


def main(map_name: str = "3m", episodes: int = 3) -> None:
    env = SmacParallelEnv(map_name, seed=0)  # the first battle compiles the simulator: ten seconds
    random = np.random.default_rng(0)
    for episode in range(episodes):
        seen, _ = env.reset()
        total = 0.0
        while env.agents:
            actions = {
                agent: random.choice(np.flatnonzero(seen[agent]["action_mask"]))
                for agent in env.agents
            }
            seen, rewards, *_, infos = env.step(actions)
            total += next(iter(rewards.values()))
        won = next(iter(infos.values()))["battle_won"]
        print(f"battle {episode}: return {total:.2f}, {'won' if won else 'lost'}")


if __name__ == "__main__":
    main()
