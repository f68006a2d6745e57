"""What the agents say: a fixed sequence of events for every job.

It stands in for language models. The sequence never varies, so whoever watches a job can say
beforehand which frames arrive and how many; only identifiers and timestamps differ. The texts hold
what a translator of frames can trip over: text beyond ASCII, beyond the basic plane and with
quotes, a null, an integer beyond 64 bits, floats of several spellings, nested empty values.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

FAILURE_WORD: Final = "[fail]"
"""A prompt that holds this makes its job end as `failed`."""


@dataclass(frozen=True, slots=True)
class Status:
    """The job's status changes; `summary` replaces its summary of the requirements."""

    status: str
    message: str | None = None
    summary: str | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """An agent reports a step of its work."""

    agent: str
    message: str


@dataclass(frozen=True, slots=True)
class Chat:
    """An agent writes into the transcript."""

    sender: str
    content: str
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class App:
    """The app is specified; its PRD is written to the wanted size."""

    spec: dict[str, Any]


Event = Status | Step | Chat | App

_OPENING: Final[tuple[Event, ...]] = (
    Status("queued"),
    Status(
        "running",
        "The agents are at work",
        summary="A recipe box for a café: recipes, their ingredients, and who may change them.",
    ),
    Step("Analyst", 'Reading the brief: who cooks, who eats, and what is "à la carte"?'),
)

_WORK: Final[tuple[Event, ...]] = (
    Chat(
        "Analyst",
        "Verstanden → a recipe box for the café “Zur Öse”: レシピ, ingredients, roles. 🚀",
        {
            "stage": "requirements",
            "usage": {
                "tokens": 1874,
                "trace": 340282366920938463463374607431768211457,
                "cost": 0.1,
                "share": 1e-07,
                "energy": 6.02e23,
                "drift": -0.0,
            },
            "tags": ["café", "レシピ", []],
            "parent": None,
            "draft": True,
            "links": {},
        },
    ),
    Step("Architect", "Three entities, two roles, one page each.\n\t→ no service beyond the API."),
    Status("running", "Writing the PRD"),
    Step("Writer", "Writing the PRD: goals, users, stories, limits."),
    App(
        {
            "name": "Rezeptkästchen",
            "version": "1.10",
            "entities": [
                {"name": "Recipe", "fields": ["title", "steps", "serves"], "quota": 2**64},
                {"name": "Ingredient", "fields": ["name", "grams"], "step": 0.05},
                {"name": "Cook", "fields": []},
            ],
            "theme": {"accent": "#0b7285", "emoji": "🍲", "scale": 1.1},
            "limits": None,
        },
    ),
    Status("done"),
)

_FAILURE: Final[tuple[Event, ...]] = (Status("failed", "The analyst could not read the brief"),)


def events(prompt: str) -> tuple[Event, ...]:
    """The sequence for a job with this prompt."""
    return _OPENING + (_FAILURE if FAILURE_WORD in prompt else _WORK)


def prd_markdown(name: str, size: int) -> str:
    """A PRD of exactly `size` characters, some of which JSON must escape."""
    section = (
        '## {number}. Story\n\nAs a cook I want to find "{name}", by season, größe or 味, '
        "so that nothing is left over.\n\n- [ ] accepted ✅\n\n"
    )
    text = [f"# {name}\n\n"]
    length = len(text[0])
    number = 0
    while length < size:
        number += 1
        text.append(section.format(number=number, name=name))
        length += len(text[-1])
    return "".join(text)[:size]
