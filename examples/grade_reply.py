"""Read a reply and grade its answer: no model, no network.

python examples/grade_reply.py
"""

from metaconf import Question, Target, grade_answer, parse_reply

QUESTION = Question("q1", "In which country is Timbuktu?", (Target(("Mali", "Republic of Mali")),))
REPLIES = (
    "Answer: Mali\nSelf-reflection: I know something of Timbuktu; I might also say Niger.\n"
    "Confidence: 7",
    "Answer: Niger\nSelf-reflection: I am guessing between two countries.\nConfidence: 2.5",
    "It is Mali, I am 90% sure.",
)


def main() -> list[tuple[str | None, float | None, float | None]]:
    """Answer, correctness in [0, 1] and confidence in [0, 1] of each reply; None is unknown."""
    found = []
    for text in REPLIES:
        parsed = parse_reply(text)
        correctness, why = grade_answer(QUESTION, parsed.answer)
        print(f"{parsed.answer}: correctness {correctness} ({why}), confidence {parsed.confidence}")
        for problem in parsed.problems:
            print(f"  problem: {problem}")
        found.append((parsed.answer, correctness, parsed.confidence))
    return found


if __name__ == "__main__":
    main()
