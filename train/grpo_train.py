"""Stage 2: `python train/grpo_train.py --config configs/grpo_train_config.yaml [--key value]`.

The same as `metaconf grpo`.
"""

import sys

from metaconf.cli import main

if __name__ == "__main__":
    sys.exit(main(["grpo", *sys.argv[1:]]))
