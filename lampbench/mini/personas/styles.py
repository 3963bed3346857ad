"""Personas that show in wording: what is said is given, how it is said is the persona."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

from lampbench.mini import lexicon
from lampbench.mini.personas.base import Asked, Document, Domain, as_sentence, pick


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
        words = pick(rng, lexicon.NEWS[topic], 4)
        who, witness = pick(rng, lexicon.SURNAMES, 2)
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
            {"text": f"{as_sentence(lead)} {as_sentence(rest)}", "title": self._title(facts, shown)},
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
        a, other, third = pick(rng, lexicon.FIELDS[field_name], 3)
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
            {"title": self._title(facts, shown), "abstract": f"{as_sentence(first)} {as_sentence(second)}"},
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
        thing, other = pick(rng, lexicon.EVERYDAY[topic], 2)
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
        return Asked(self.fill(text=as_sentence(neutral)), document.fields["text"], document.latent)

    def guess(self, asked: Asked, persona: Style | None) -> str:
        return self._restyle(asked.latent["neutral"], persona.choices if persona else {})
