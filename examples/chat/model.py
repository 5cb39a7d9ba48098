"""A language model that needs no key: it makes its answers up, token by token, from the words of the question."""

import asyncio
import os
import random
import re
from collections.abc import AsyncIterator

TOKEN_SECONDS = float(os.environ.get("TOKEN_SECONDS", "0.06"))

OPENINGS = (
    "That is a good question, and it has been asked by every kettle since the invention of tea.",
    "Nobody is quite sure, which has never kept anybody from explaining it.",
    "Let us begin at the beginning, as waves do.",
)
MIDDLES = (
    "Its keeper wrote one word on each wave, and trusted that somebody on the shore would read them in order.",
    "Most waves arrived. Some were lost in the harbour, where a large grey proxy lay at anchor and held them back.",
    "On some evenings the reader fell asleep in the middle of a sentence, and later asked for the words since then.",
    "The keeper had kept them all, with numbers on them, for he was a careful man and had a great deal of paper.",
    "Once two readers sat on one shore, each with a lantern, and found that they read the same story.",
    "Then came the night on which the lighthouse went dark, and another one, further along, took over the sentence.",
    "A reader who called out “enough” was heard. One who merely closed the window was not taken to mean it.",
    "In winter, when there was nothing to tell, the keeper blinked every fifteen seconds, so that nobody worried.",
)
ENDINGS = (
    "So the answer is yes; but it arrives one word at a time.",
    "And that is why, to this day, the last word is sent exactly once.",
    "The rest is left to the reader, who knows where he was.",
)
LONG = re.compile(r"\b(long|story|everything|essay)\b", re.IGNORECASE)

working = 0
"""How many answers are being made."""


async def complete(question: str) -> AsyncIterator[str]:
    """Yield the answer's tokens. It is the same whenever the same is asked."""
    global working
    working += 1
    try:
        for token in re.findall(r"\s*\S+", _text(question)):
            await asyncio.sleep(TOKEN_SECONDS)
            yield token
    finally:
        working -= 1


def _text(question: str) -> str:
    chance = random.Random(question)
    sentences = list(MIDDLES) if LONG.search(question) else chance.sample(MIDDLES, 3)
    chance.shuffle(sentences)
    half = (len(sentences) + 1) // 2
    paragraphs = [
        f"“{question}” — {chance.choice(OPENINGS)}",
        f"There was a lighthouse on a small island. {' '.join(sentences[:half])}",
        " ".join(sentences[half:]),
        chance.choice(ENDINGS),
    ]
    return "\n\n".join(paragraphs)
