"""Questions on short contexts, written for these tests: some have no answer there.

An answer is given as a part of its context that occurs once, or as (text, start).
"""

from __future__ import annotations

from typing import Any

import pandas as pd

_SET: dict[str, dict[str, Any]] = {
    "The night ferry to Harwick leaves at nine in the evening. It carries forty cars, and the"
    " crossing takes six hours. Captain Iris Moreau has sailed it since 2011.": {
        "When does the ferry leave?": "nine in the evening",
        "How many cars does the ferry carry?": "forty",
        "How long does the crossing take?": "six hours",
        "Who sails the ferry?": "Captain Iris Moreau",
        "What does a ticket cost?": None,
    },
    "Café Zürich was opened by Zoë Krämer in 1987. Its crème brûlée won a prize in Lyon.": {
        "Who opened the café?": "Zoë Krämer",
        "When was the café opened?": "1987",
        "What won a prize?": "crème brûlée",
        "Where did it win the prize?": "Lyon",
    },
    "Bats hunt by echo. A bat sends out short calls and listens for what comes back from a moth. In"
    " winter, bats sleep in caves.": {
        "How do bats hunt?": "by echo",
        "What does a bat send out?": "short calls",
        "Where do bats sleep in winter?": "caves",
        "How old does a bat become?": None,
    },
    "The old bridge was built of oak. The new bridge, which replaced it in 1904, is of steel and"
    " 212 metres long.": {
        "What was the old bridge built of?": "oak",
        "When was the old bridge replaced?": "1904",
        "How long is the new bridge?": "212 metres",
        "Who built the new bridge?": None,
    },
    "  東京 is the capital of Japan 🇯🇵. The tower there is 333 m high 🗼.": {
        "What is the capital of Japan?": "東京",
        "How high is the tower?": "333 m",
        "Which flag is shown?": "🇯🇵",
    },
    "Minutes\nPresent: Ada, Tom, Lea\nChair: Tom\nNext meeting: 4 May": {
        "When is the next meeting?": "4 May",
        "Who was present?": "Ada, Tom, Lea",
        "Who was in the chair?": ("Tom", 38),
    },
    "Paris met Paris: the mayor of Paris, Texas, flew to Paris, France, on Friday.": {
        "Which city in France was visited?": ("Paris", 52),
        "Who flew to France?": "the mayor of Paris, Texas",
        "On which day was the flight?": "Friday",
    },
    "Rye bread needs flour, water and salt. The dough rests for twelve hours, then it bakes at 220"
    " degrees.": {
        "How long does the dough rest?": "twelve hours",
        "At how many degrees does it bake?": "220",
        "Which spice is in the bread?": None,
    },
    "The comet was seen by Maria Winkelmann on 21 April 1702 from Berlin, before sunrise.": {
        "Who saw the comet?": "Maria Winkelmann",
        "From where was the comet seen?": "Berlin",
        "On which date was it seen?": "21 April 1702",
        "How large is the comet?": None,
    },
    "The pump failed because a valve was stuck. A plumber, Mr Osei, replaced the valve.": {
        "Why did the pump fail?": "a valve was stuck",
        "Who replaced the valve?": "Mr Osei",
        "What did the repair cost?": None,
    },
    "Goal! In minute 88, Kofi's header made it two to one for Accra.": {
        "Who scored?": "Kofi",
        "In which minute was the goal?": "88",
    },
    "": {"Who wrote this?": None, "": None},
}


def _start(context: str, answer: str) -> int:
    assert context.count(answer) == 1, (context, answer)
    return context.index(answer)


ROWS = [
    (question, context, answer)
    for context, questions in _SET.items()
    for question, answer in questions.items()
]
QUESTIONS = pd.DataFrame([row[:2] for row in ROWS], columns=["question", "context"])
ANSWERS: list[tuple[str, int] | None] = [
    (answer, _start(context, answer)) if isinstance(answer, str) else answer
    for _, context, answer in ROWS
]
HAS_ANSWER = [answer is not None for answer in ANSWERS]
