"""The reward, as other trainers load it: `reward_function` for TRL, `compute_score` for verl
(reward.custom_reward_function.path=utils/reward_function.py, .name=compute_score)."""

from metaconf.rewards.adapters import compute_score, reward_function

__all__ = ["compute_score", "reward_function"]
