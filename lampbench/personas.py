"""The personas of LaMP-mini: for each task, which habits a user has and how they show in what the user writes.

A `Domain` makes three things: a persona, a document of that persona (a history item, in the task's own
fields), and the question that a document poses (the document's output is then the gold). `guess` is the
reference predictor: with the persona it gives the ceiling, without it the floor.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from lampbench import lexicon
from lampbench.tasks import TAGS, get_task


@dataclass(frozen=True)
class Document:
    """What a user wrote: the item's fields in the official schema, and what the writer had in mind."""

    fields: Mapping[str, str]
    latent: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Asked:
    """A question: the task's literal input, the gold output, and what the writer had in mind."""

    input: str
    output: str
    latent: Mapping[str, Any]


class Domain(ABC):
    """One task's world."""

    task: ClassVar[str]

    @abstractmethod
    def persona(self, rng: random.Random) -> Any:
        """A new person's habits."""

    @abstractmethod
    def document(self, persona: Any, rng: random.Random) -> Document:
        """Something that person writes."""

    @abstractmethod
    def question(self, document: Document, persona: Any, rng: random.Random) -> Asked:
        """The question that leaves the document's output out."""

    @abstractmethod
    def guess(self, asked: Asked, persona: Any | None) -> str:
        """The best answer for a known persona, or for somebody of whom nothing is known (None)."""

    def fill(self, **slots: str) -> str:
        """The task's literal input with its slots filled."""
        template = get_task(self.task).template
        for name, text in slots.items():
            template = template.replace("{" + name + "}", text)
        return template


def _pick(rng: random.Random, options: Sequence[Any], n: int) -> list[Any]:
    return rng.sample(list(options), n)


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + "."


# --- LaMP-1: an author has three fields and cites within them


def _paper_title(topic: str, rng: random.Random) -> str:
    a, b, c = _pick(rng, lexicon.FIELDS[topic], 3)
    adjective = rng.choice(lexicon.RESEARCH_ADJECTIVES)
    noun, other = _pick(rng, lexicon.RESEARCH_NOUNS, 2)
    tool = rng.choice(lexicon.RESEARCH_TOOLS)
    title = rng.choice(
        (
            f"{adjective} {a} {noun} for {b} and {c}",
            f"{a} and {b}: {adjective} {noun} of {c}",
            f"learning {a} {noun} from {b} with {tool}",
            f"{tool} for {adjective} {a} {noun} in {b}",
            f"from {a} to {b}: {noun} and {other} of {c}",
        )
    )
    return title[0].upper() + title[1:]


def _abstract(topic: str, rng: random.Random) -> str:
    words = _pick(rng, lexicon.FIELDS[topic], 4)
    adjective = rng.choice(lexicon.RESEARCH_ADJECTIVES)
    noun = rng.choice(lexicon.RESEARCH_NOUNS)
    tool = rng.choice(lexicon.RESEARCH_TOOLS)
    first = rng.choice(
        (
            f"we present {adjective} {noun} of {words[0]} and {words[1]}",
            f"the {words[0]} of a {words[1]} is hard to predict",
            f"current {noun} ignores the {words[0]} behind each {words[1]}",
        )
    )
    second = rng.choice(
        (
            f"our system combines {tool} with {words[2]} and {words[3]}",
            f"experiments on {words[2]} show that {tool} improves {words[3]}",
            f"we show how {tool} can use {words[2]} without {words[3]}",
        )
    )
    return f"{_sentence(first)} {_sentence(second)}"


class Citation(Domain):
    """LaMP-1. Persona: three fields of work, the first the most frequent.

    Every paper is about one of them. The related reference is nearly always about one of the author's fields,
    not always the paper's own; the other reference is about a field the author does not work in.
    """

    task = "LaMP-1"
    weights = (0.5, 0.3, 0.2)
    same_field = 0.3  # share of questions whose related reference is in the field of the paper itself
    astray = 0.05  # share of questions whose related reference is in no field of the author

    def persona(self, rng: random.Random) -> tuple[str, ...]:
        return tuple(_pick(rng, list(lexicon.FIELDS), 3))

    def document(self, persona: tuple[str, ...], rng: random.Random) -> Document:
        topic = rng.choices(persona, self.weights)[0]
        return Document(
            {"title": _paper_title(topic, rng), "abstract": _abstract(topic, rng)}, {"topic": topic}
        )

    def question(self, document: Document, persona: tuple[str, ...], rng: random.Random) -> Asked:
        own = document.latent["topic"]
        others = [topic for topic in persona if topic != own]
        foreign = [topic for topic in lexicon.FIELDS if topic not in persona and topic != own]
        unrelated, elsewhere = _pick(rng, foreign, 2)
        draw = rng.random()
        related = own if draw < self.same_field else rng.choice(others)
        if draw >= 1 - self.astray:
            related = elsewhere
        topics = [related, unrelated]
        answer = rng.randrange(2)
        if answer == 1:
            topics.reverse()
        text = self.fill(
            title=document.fields["title"],
            reference_1=_paper_title(topics[0], rng),
            reference_2=_paper_title(topics[1], rng),
        )
        return Asked(text, f"[{answer + 1}]", {"own": own, "references": tuple(topics)})

    def guess(self, asked: Asked, persona: tuple[str, ...] | None) -> str:
        known = (asked.latent["own"], *(persona or ()))
        return "[2]" if asked.latent["references"][1] in known else "[1]"


# --- LaMP-2: a viewer has favourite tags and uses them wherever they fit


class MovieTag(Domain):
    """LaMP-2. Persona: four favourite tags in order of preference, out of fifteen.

    A movie has two aspects, described equally. People mostly watch movies with a favourite aspect, and tag a
    movie with the one of its aspects that they like more.
    """

    task = "LaMP-2"
    watches_favourite = 0.9

    def persona(self, rng: random.Random) -> tuple[str, ...]:
        return tuple(_pick(rng, TAGS, 4))

    def document(self, persona: tuple[str, ...], rng: random.Random) -> Document:
        rest = [tag for tag in TAGS if tag not in persona]
        first = rng.choice(persona) if rng.random() < self.watches_favourite else rng.choice(rest)
        second = rng.choice([tag for tag in TAGS if tag != first])
        aspects = [first, second]
        rng.shuffle(aspects)
        tag = self._choose(aspects, persona, fallback=rng.randrange(2))
        return Document(
            {"description": self._describe(aspects, rng), "tag": tag}, {"aspects": tuple(aspects)}
        )

    @staticmethod
    def _choose(aspects: Sequence[str], persona: tuple[str, ...], fallback: int) -> str:
        liked = [aspect for aspect in aspects if aspect in persona]
        return min(liked, key=persona.index) if liked else aspects[fallback]

    @staticmethod
    def _describe(aspects: Sequence[str], rng: random.Random) -> str:
        (a, b), (c, d) = (_pick(rng, lexicon.ASPECTS[aspect.replace(" ", "-")], 2) for aspect in aspects)
        role, other = _pick(rng, lexicon.MOVIE_ROLES, 2)
        verb = rng.choice(lexicon.MOVIE_VERBS)
        place = rng.choice(lexicon.PLACES)
        return _sentence(
            rng.choice(
                (
                    f"a {role} from {place} {verb} the {a} and {b} while a {other} brings {c} and {d}",
                    f"in {place} a {role} {verb} {a} and {b}, then {c} and {d} follow",
                    f"{a} meets {b} when a {role} {verb} {c} and {d} in {place}",
                    f"the {role} of {place} {verb} a {other} with {a}, {b}, {c} and {d}",
                )
            )
        )

    def question(self, document: Document, persona: tuple[str, ...], rng: random.Random) -> Asked:
        text = self.fill(description=document.fields["description"])
        return Asked(text, document.fields["tag"], document.latent)

    def guess(self, asked: Asked, persona: tuple[str, ...] | None) -> str:
        return self._choose(asked.latent["aspects"], persona or (), fallback=0)


# --- LaMP-3: a reviewer is strict, neutral or lenient


class ProductRating(Domain):
    """LaMP-3. Persona: a rating bias of -1, 0 or +1 stars, and the way of talking that goes with it.

    A text tells how good the product is, on five levels; the score is that level plus the reviewer's bias.
    Now and then a text also carries a remark that gives the reviewer's temper away.
    """

    task = "LaMP-3"
    remark = 0.4  # share of texts with a remark

    def persona(self, rng: random.Random) -> int:
        return rng.choice((-1, 0, 1))

    def document(self, persona: int, rng: random.Random) -> Document:
        level = rng.choices((1, 2, 3, 4, 5), (1, 2, 2, 2, 1))[0]
        words = _pick(rng, lexicon.OPINIONS[str(level)], 2)
        product = rng.choice(list(lexicon.PRODUCTS))
        part, other = _pick(rng, lexicon.PRODUCTS[product][1:], 2)
        sentences = [
            rng.choice(
                (
                    f"the {part} of this {product} is {words[0]} and the {other} is {words[1]}",
                    f"a {words[0]} {product} with a {words[1]} {part}",
                    f"{words[0]} {part}, {words[1]} {other}, that is this {product}",
                    f"this {product} has a {words[0]} {part} and feels {words[1]}",
                )
            )
        ]
        if rng.random() < self.remark:
            sentences.insert(rng.randrange(2), rng.choice(lexicon.TEMPERS[persona]))
        text = " ".join(_sentence(sentence) for sentence in sentences)
        return Document({"text": text, "score": self._score(level, persona)}, {"level": level})

    @staticmethod
    def _score(level: int, bias: int) -> str:
        return str(min(5, max(1, level + bias)))

    def question(self, document: Document, persona: int, rng: random.Random) -> Asked:
        return Asked(self.fill(text=document.fields["text"]), document.fields["score"], document.latent)

    def guess(self, asked: Asked, persona: int | None) -> str:
        return self._score(asked.latent["level"], persona or 0)


# --- LaMP-4, 5, 7: what is said is given, how it is said is the persona


@dataclass(frozen=True)
class Style:
    """Habits of wording: one choice per slot. A slot shows in a document with the domain's probability for it."""

    choices: Mapping[str, str]


class Headline(Domain):
    """LaMP-4. Persona: an order of telling (four), an opener (ten) and a closer (ten), each used most of the time."""

    task = "LaMP-4"
    shows = 0.75
    orders = (
        "{who} {verb} {what}",
        "{where}: {who} {verb} {what}",
        "{what} in {where}: {who} {verb}",
        "why {who} {verb} {what}",
    )

    def persona(self, rng: random.Random) -> Style:
        return Style(
            {
                "order": rng.choice(self.orders),
                "opener": rng.choice(lexicon.OPENERS),
                "closer": rng.choice(lexicon.CLOSERS),
            }
        )

    def document(self, persona: Style, rng: random.Random) -> Document:
        topic = rng.choice(list(lexicon.NEWS))
        words = _pick(rng, lexicon.NEWS[topic], 4)
        who, witness = _pick(rng, lexicon.SURNAMES, 2)
        facts = {
            "who": who,
            "verb": rng.choice(lexicon.NEWS_VERBS),
            "what": f"{words[0]} {words[1]}",
            "where": rng.choice(lexicon.PLACES),
        }
        when = rng.choice(lexicon.TIMES)
        lead = rng.choice(
            (
                "{who} {verb} the {what} in {where} " + when,
                "in {where}, {who} {verb} the {what} " + when,
                when + " {who} of {where} {verb} the {what}",
            )
        ).format(**facts)
        rest = rng.choice(
            (
                f"{witness} spoke of the {words[2]} and the {words[3]}",
                f"the {words[2]} was near the {words[3]}, {witness} said",
                f"people worry about {words[2]} and {words[3]}",
            )
        )
        shown = {
            "order": persona.choices["order"] if rng.random() < self.shows else rng.choice(self.orders),
            "opener": persona.choices["opener"] if rng.random() < self.shows else "",
            "closer": persona.choices["closer"] if rng.random() < self.shows else "",
        }
        return Document(
            {"text": f"{_sentence(lead)} {_sentence(rest)}", "title": self._title(facts, shown)},
            {"facts": facts},
        )

    @staticmethod
    def _title(facts: Mapping[str, str], shown: Mapping[str, str]) -> str:
        title = shown["order"].format(**facts)
        if shown["opener"]:
            title = f"{shown['opener']}: {title}"
        if shown["closer"]:
            title = f"{title}, {shown['closer']}"
        return title[0].upper() + title[1:]

    def question(self, document: Document, persona: Style, rng: random.Random) -> Asked:
        return Asked(self.fill(text=document.fields["text"]), document.fields["title"], document.latent)

    def guess(self, asked: Asked, persona: Style | None) -> str:
        unknown = {"order": self.orders[0], "opener": "", "closer": ""}
        return self._title(asked.latent["facts"], persona.choices if persona else unknown)


class PaperTitle(Domain):
    """LaMP-5. Persona: a pattern of titles (six) and a word for one's own work (eight)."""

    task = "LaMP-5"
    shows = 0.8
    patterns = (
        "{a} {b}: a {adjective} {work}",
        "towards {adjective} {a} {b} with {tool}",
        "a {adjective} {work} for {a} {b} using {tool}",
        "on the {b} of {a}: a {work} with {tool}",
        "{tool} for {a} {b}, a {work}",
        "is {tool} all we need for {a} {b}? a {work}",
    )

    def persona(self, rng: random.Random) -> Style:
        return Style({"pattern": rng.choice(self.patterns), "work": rng.choice(lexicon.WORK_WORDS)})

    def document(self, persona: Style, rng: random.Random) -> Document:
        field_name = rng.choice(list(lexicon.FIELDS))
        a, other, third = _pick(rng, lexicon.FIELDS[field_name], 3)
        facts = {
            "a": a,
            "b": rng.choice(lexicon.RESEARCH_NOUNS),
            "adjective": rng.choice(lexicon.RESEARCH_ADJECTIVES),
            "tool": rng.choice(lexicon.RESEARCH_TOOLS),
        }
        first = rng.choice(
            (
                "we propose {adjective} {b} of {a} based on {tool}",
                "this paper is about {a} {b} with {tool} that is {adjective}",
                "with {tool} we make {b} of {a} more {adjective}",
            )
        ).format(**facts)
        second = rng.choice(
            (
                f"results on {other} and {third} are convincing",
                f"we test it on {other} with {third}",
                f"the {other} and the {third} remain open",
            )
        )
        shown = {
            "pattern": persona.choices["pattern"] if rng.random() < self.shows else rng.choice(self.patterns),
            "work": persona.choices["work"] if rng.random() < self.shows else rng.choice(lexicon.WORK_WORDS),
        }
        return Document(
            {"title": self._title(facts, shown), "abstract": f"{_sentence(first)} {_sentence(second)}"},
            {"facts": facts},
        )

    @staticmethod
    def _title(facts: Mapping[str, str], shown: Mapping[str, str]) -> str:
        title = shown["pattern"].format(**facts, work=shown["work"])
        return title[0].upper() + title[1:]

    def question(self, document: Document, persona: Style, rng: random.Random) -> Asked:
        return Asked(
            self.fill(abstract=document.fields["abstract"]), document.fields["title"], document.latent
        )

    def guess(self, asked: Asked, persona: Style | None) -> str:
        unknown = {"pattern": self.patterns[2], "work": lexicon.WORK_WORDS[0]}
        return self._title(asked.latent["facts"], persona.choices if persona else unknown)


class Tweet(Domain):
    """LaMP-7. Persona: words for *very*, *friend*, *good* and *bad*, an opener and a closer.

    The question shows a neutral wording of a tweet; history items are tweets as the user writes them.
    """

    task = "LaMP-7"
    shows = 0.7

    def persona(self, rng: random.Random) -> Style:
        choices = {neutral: rng.choice(words) for neutral, words in lexicon.SLANG.items()}
        return Style(
            {
                **choices,
                "opener": rng.choice(lexicon.TWEET_OPENERS),
                "closer": rng.choice(lexicon.TWEET_CLOSERS),
            }
        )

    def document(self, persona: Style, rng: random.Random) -> Document:
        topic = rng.choice(list(lexicon.EVERYDAY))
        thing, other = _pick(rng, lexicon.EVERYDAY[topic], 2)
        when = rng.choice(lexicon.TIMES)
        judgement = rng.choice(("good", "bad"))
        neutral = rng.choice(
            (
                f"my friend says the {thing} was very {judgement} {when}",
                f"a very {judgement} {thing} with my friend {when}",
                f"the {thing} is {judgement} but the {other} is very nice, friend",
                f"{when} my friend and I had a {judgement} {thing} and a very long {other}",
                f"friend, that {thing} is very {judgement} {when}",
            )
        )
        shown = {
            "opener": persona.choices["opener"] if rng.random() < self.shows else "",
            "closer": persona.choices["closer"] if rng.random() < self.shows else "",
            **{word: persona.choices[word] for word in lexicon.SLANG},
        }
        return Document({"text": self._restyle(neutral, shown)}, {"neutral": neutral})

    @staticmethod
    def _restyle(neutral: str, shown: Mapping[str, str]) -> str:
        words = []
        for word in neutral.split():
            bare = word.rstrip(",")
            words.append(shown.get(bare, bare) + word[len(bare) :])
        text = " ".join(words)
        if shown.get("opener"):
            text = f"{shown['opener']}, {text}"
        return f"{text} {shown['closer']}" if shown.get("closer") else text

    def question(self, document: Document, persona: Style, rng: random.Random) -> Asked:
        neutral = document.latent["neutral"]
        return Asked(self.fill(text=_sentence(neutral)), document.fields["text"], document.latent)

    def guess(self, asked: Asked, persona: Style | None) -> str:
        return self._restyle(asked.latent["neutral"], persona.choices if persona else {})


DOMAINS: Mapping[str, Domain] = {
    domain.task: domain
    for domain in (Citation(), MovieTag(), ProductRating(), Headline(), PaperTitle(), Tweet())
}
