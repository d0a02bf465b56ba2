# isort: skip_file
from metaconf.api import (
    Parsed as Parsed,
    Question as Question,
    Target as Target,
    UserError as UserError,
    calibrate as calibrate,
    compute_score as compute_score,
    evaluate as evaluate,
    format_reply as format_reply,
    grade_answer as grade_answer,
    parse_reply as parse_reply,
    prepare as prepare,
    reward_function as reward_function,
    train_grpo as train_grpo,
    train_sft as train_sft,
)

PUBLIC: tuple[str, ...]
__version__: str
