"""Use the reward in plain TRL: one step of GRPOTrainer, without our trainer.

python examples/reward_in_trl.py --model embedded

TRL credits every token of a reply with the reward. Our stage 2 credits the confidence with a
proper score of its whole distribution instead: see docs/other-engines.md.
"""

import argparse
import tempfile

import torch
from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer  # pyright: ignore[reportPrivateImportUsage]

from metaconf import reward_function
from metaconf.embedded.model import resolve_model
from metaconf.prompts.chat import INSTRUCTION, messages

QUESTIONS = (("In which country is Timbuktu?", "Mali"), ("What is 17 + 25?", "42"))


def main(model: str, steps: int, output_dir: str) -> list[dict[str, float]]:
    """Train for some steps; returns TRL's log, with the mean reward of each step."""
    rows = [{"prompt": messages(text, INSTRUCTION), "answer": gold} for text, gold in QUESTIONS]
    settings = GRPOConfig(
        output_dir=output_dir,
        max_steps=steps,
        per_device_train_batch_size=4,
        num_generations=4,
        max_completion_length=64,
        logging_steps=1,
        report_to="none",
        save_strategy="no",
        use_cpu=not torch.cuda.is_available(),
        bf16=torch.cuda.is_available(),
    )
    trainer = GRPOTrainer(
        model=resolve_model(model),
        reward_funcs=reward_function,
        args=settings,
        train_dataset=Dataset.from_list(rows),
    )
    trainer.train()
    return trainer.state.log_history


if __name__ == "__main__":
    reader = argparse.ArgumentParser()
    reader.add_argument("--model", default="embedded")
    reader.add_argument("--steps", type=int, default=1)
    given = reader.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for line in main(given.model, given.steps, folder):
            print(line)
