"""Find the confidence from which on answers err at most one time in ten, with a certificate.

python examples/certify_threshold.py
"""

import numpy as np

from metaconf.decisions import Rule, certify


def main(labelled: int = 2000) -> Rule:
    """Certify on simulated labelled replies, then count the errors of new ones."""
    draw = np.random.default_rng(0)
    confidence = draw.integers(0, 11, labelled) / 10
    correctness = draw.random(labelled) < confidence
    rule = certify(confidence, correctness, alpha=0.1, delta=0.1)
    if rule.threshold is None:
        print(f"nothing is certified; about {rule.more} more labelled replies would do")
        return rule
    print(f"answer from {rule.threshold:.2f} on: {rule.coverage:.0%} of the labelled replies")
    new = draw.integers(0, 11, 100_000) / 10
    answered = new >= rule.threshold
    wrong = draw.random(len(new))[answered] >= new[answered]
    print(f"error of new replies that are answered: {wrong.mean():.3f}")
    return rule


if __name__ == "__main__":
    main()
