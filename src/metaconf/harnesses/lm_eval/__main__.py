"""Print the folder for lm_eval's --include_path."""

from pathlib import Path

print(Path(__file__).parent)
