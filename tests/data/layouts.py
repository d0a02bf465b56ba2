"""Tiny sets in the column layouts of the published ones, as their cards document them."""

from __future__ import annotations

from typing import Any

from metaconf.records import Question, Target


def question(task: str, prompt: str, *texts: str, **more: Any) -> Question:
    return Question(more.pop("id", "?"), prompt, (Target(texts),), task, **more)


CHOICES = "\nA. iron\nB. gold\nC. tin\nD. lead"

# Name of the ready map → rows of its set, the question that the first row is, and whether the
# columns alone tell the set.
LAYOUTS: dict[str, tuple[list[dict[str, Any]], Question, bool]] = {
    "gsm8k": (
        [{"question": "How many?", "answer": "9 * 8 = <<9*8=72>>72 eggs.\n#### 1,072"}],
        question("math", "How many?", "1072"),
        False,
    ),
    "nq-open": (
        [{"question": "who sang it", "answer": ["Bobby Scott", "Bob Russell"]}],
        question("short", "who sang it", "Bobby Scott", "Bob Russell"),
        False,
    ),
    "triviaqa": (
        [
            {
                "question": "Who was the man behind The Chipmunks?",
                "question_id": "tc_2",
                "question_source": "http://www.triviacountry.com/",
                "entity_pages": {"title": [], "wiki_context": []},
                "search_results": {"title": [], "search_context": []},
                "answer": {
                    "aliases": ["David Seville", "Ross Bagdasarian"],
                    "normalized_aliases": ["david seville", "ross bagdasarian"],
                    "matched_wiki_entity_name": "",
                    "normalized_matched_wiki_entity_name": "",
                    "normalized_value": "david seville",
                    "type": "WikipediaEntity",
                    "value": "David Seville",
                },
            }
        ],
        question(
            "short",
            "Who was the man behind The Chipmunks?",
            *("David Seville", "Ross Bagdasarian"),
            id="tc_2",
        ),
        True,
    ),
    "hotpotqa": (
        [
            {
                "id": "5a7a06935542990198eaf050",
                "question": "Which magazine was started first?",
                "answer": "Arthur's Magazine",
                "type": "comparison",
                "level": "medium",
                "supporting_facts": {"title": ["Arthur's Magazine"], "sent_id": [0]},
                "context": {"title": ["Radio City"], "sentences": [["Radio City is …"]]},
            }
        ],
        question(
            "short",
            "Which magazine was started first?",
            "Arthur's Magazine",
            id="5a7a06935542990198eaf050",
            family="comparison",
        ),
        True,
    ),
    "math": (
        [
            {
                "problem": "Find $x$.",
                "level": "Level 5",
                "type": "Algebra",
                "solution": r"As $1 \ne \boxed{2}$, it is $\boxed{\frac{1}{2}}$.",
            }
        ],
        question("math", "Find $x$.", r"\frac{1}{2}", family="Algebra"),
        True,
    ),
    "mmlu": (
        [
            {
                "question": "What is Au?",
                "subject": "chemistry",
                "choices": ["iron", "gold", "tin", "lead"],
                "answer": 1,
            }
        ],
        question("choice", f"What is Au?{CHOICES}", "B", "gold", family="chemistry"),
        True,
    ),
    "commonsenseqa": (
        [
            {
                "id": "075e",
                "question": "What is Au?",
                "question_concept": "gold",
                "choices": {"label": list("ABCD"), "text": ["iron", "gold", "tin", "lead"]},
                "answerKey": "B",
            }
        ],
        question("choice", f"What is Au?{CHOICES}", "B", "gold", id="075e"),
        True,
    ),
    "simpleqa": (
        [
            {
                "metadata": "{'topic': 'Science', 'answer_type': 'Person', 'urls': []}",
                "problem": "Who received the award in 2010?",
                "answer": "Michio Sugeno",
            }
        ],
        question("short", "Who received the award in 2010?", "Michio Sugeno"),
        True,
    ),
    "truthfulqa": (
        [
            {
                "type": "Adversarial",
                "category": "Misconceptions",
                "question": "What happens if you eat seeds?",
                "best_answer": "They pass through you",
                "correct_answers": ["Nothing happens", "They pass through you"],
                "incorrect_answers": ["They grow"],
                "source": "https://wonderopolis.org",
            }
        ],
        question(
            "long",
            "What happens if you eat seeds?",
            *("They pass through you", "Nothing happens"),
            family="Misconceptions",
        ),
        True,
    ),
    "popqa": (
        [
            {
                "id": 4222362,
                "subj": "George Rankin",
                "prop": "occupation",
                "obj": "politician",
                "subj_id": 1850297,
                "prop_id": 22,
                "obj_id": 2834605,
                "s_aliases": '["George James Rankin"]',
                "o_aliases": '["political leader"]',
                "s_uri": "http://www.wikidata.org/entity/Q5543720",
                "o_uri": "http://www.wikidata.org/entity/Q82955",
                "s_wiki_title": "George Rankin",
                "o_wiki_title": "Politician",
                "s_pop": 142,
                "o_pop": 25692,
                "question": "What is George Rankin's occupation?",
                "possible_answers": '["politician", "political leader", "pol"]',
            }
        ],
        question(
            "short",
            "What is George Rankin's occupation?",
            *("politician", "political leader", "pol"),
            id="4222362",
            family="occupation",
            familiarity=142.0,
            entity="George Rankin",
        ),
        True,
    ),
}
