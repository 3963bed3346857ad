"""Personas that show in a choice: what an author cites, how a viewer tags, how strictly a reviewer rates."""

from __future__ import annotations

import random
from collections.abc import Sequence

from lampbench.mini import lexicon
from lampbench.mini.personas.base import Asked, Document, Domain, as_sentence, pick
from lampbench.tasks.lamp2 import TAGS

# --- LaMP-1: an author has three fields and cites within them


def _paper_title(topic: str, rng: random.Random) -> str:
    a, b, c = pick(rng, lexicon.FIELDS[topic], 3)
    adjective = rng.choice(lexicon.RESEARCH_ADJECTIVES)
    noun, other = pick(rng, lexicon.RESEARCH_NOUNS, 2)
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
    words = pick(rng, lexicon.FIELDS[topic], 4)
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
    return f"{as_sentence(first)} {as_sentence(second)}"


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
        return tuple(pick(rng, list(lexicon.FIELDS), 3))

    def document(self, persona: tuple[str, ...], rng: random.Random) -> Document:
        topic = rng.choices(persona, self.weights)[0]
        return Document(
            {"title": _paper_title(topic, rng), "abstract": _abstract(topic, rng)}, {"topic": topic}
        )

    def question(self, document: Document, persona: tuple[str, ...], rng: random.Random) -> Asked:
        own = document.latent["topic"]
        others = [topic for topic in persona if topic != own]
        foreign = [topic for topic in lexicon.FIELDS if topic not in persona and topic != own]
        unrelated, elsewhere = pick(rng, foreign, 2)
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
        return tuple(pick(rng, TAGS, 4))

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
        (a, b), (c, d) = (pick(rng, lexicon.ASPECTS[aspect.replace(" ", "-")], 2) for aspect in aspects)
        role, other = pick(rng, lexicon.MOVIE_ROLES, 2)
        verb = rng.choice(lexicon.MOVIE_VERBS)
        place = rng.choice(lexicon.PLACES)
        return as_sentence(
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
    Now and then a text also carries a remark that gives the reviewer's temper away. The floor takes everybody for
    neutral, whatever the remark says: whoever reads it scores better than the floor without any history.
    """

    task = "LaMP-3"
    remark = 0.4  # share of texts with a remark

    def persona(self, rng: random.Random) -> int:
        return rng.choice((-1, 0, 1))

    def document(self, persona: int, rng: random.Random) -> Document:
        level = rng.choices((1, 2, 3, 4, 5), (1, 2, 2, 2, 1))[0]
        words = pick(rng, lexicon.OPINIONS[str(level)], 2)
        product = rng.choice(list(lexicon.PRODUCTS))
        part, other = pick(rng, lexicon.PRODUCTS[product][1:], 2)
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
        text = " ".join(as_sentence(sentence) for sentence in sentences)
        return Document({"text": text, "score": self._score(level, persona)}, {"level": level})

    @staticmethod
    def _score(level: int, bias: int) -> str:
        return str(min(5, max(1, level + bias)))

    def question(self, document: Document, persona: int, rng: random.Random) -> Asked:
        return Asked(self.fill(text=document.fields["text"]), document.fields["score"], document.latent)

    def guess(self, asked: Asked, persona: int | None) -> str:
        return self._score(asked.latent["level"], persona or 0)
