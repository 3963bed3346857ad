"""One job: one method on one task with one seed, from fitting to its record."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from lampbench import metrics
from lampbench.data.prediction_files import write_predictions_file
from lampbench.errors import LampbenchError, RunError, described
from lampbench.files.locks import locked
from lampbench.files.typed_json import plain
from lampbench.method.fitting import Fitted
from lampbench.models.fingerprint import weights_fingerprint
from lampbench.prompts.answer_extraction import is_ambiguous
from lampbench.prompts.texts import PROMPT_VERSION
from lampbench.records.attempts import OFFICIAL, PREDICTIONS, take_place
from lampbench.records.choice import ChoiceRecord, count_chosen, weigh_choice
from lampbench.records.cost import PREDICT, Cost, CostMeter
from lampbench.records.environment import environment, reset_peaks
from lampbench.records.prediction import Prediction
from lampbench.records.predictions import PredictionLog, line_of
from lampbench.records.record import (
    DataRecord,
    MethodRecord,
    MetricRecord,
    Record,
    now,
    request_key,
    shareable,
    without_folders,
    write_record_into,
)
from lampbench.runner.gold_wall import Questions, read_golds
from lampbench.runner.request import Plan
from lampbench.runner.run_folder import (
    earlier_record,
    finished,
    folder_of,
    options_of,
    settle,
    spec_of,
    why_anew,
    working_folder,
)
from lampbench.runner.session import Session
from lampbench.runner.setup import Setup

if TYPE_CHECKING:
    from pathlib import Path

    from lampbench.data.dataset import Example

USERS_WEIGHED = 200  # users whose kept bytes are counted


def run_job(session: Session, job: Setup, questions: Questions, command: str) -> Record:
    """Fit, predict, score and record. What an interrupted run of the same request left is used, and the record
    of an earlier run stays until this one is complete.

    Raises:
        RunError: the method broke a rule, or its run failed; the record says `failed` and why.
    """
    folder = folder_of(session.plan, job)
    with locked(folder, waiting=session.progress.say, tidy=True):
        settle(folder)
        if not session.plan.request.fresh:
            done = finished(session, job, questions)
            if done is not None:  # by the command that this one has waited for
                return done
            why_anew(session, job, questions)  # asked again, for that one may have made another run
        work = working_folder(folder)
        record = _Attempt(session, job, questions, command, work).run()
        if work != folder:
            take_place(folder)
        return replace(record, folder=folder)


class _Attempt:
    """An attempt at a run, in a folder that may hold what an interrupted one has left; see `run_job`.

    Attributes:
        log: the answers, those of an interrupted attempt included.
        before: what these have cost.
        meter: what the attempt costs.
        record: the record, as far as it is known.
    """

    def __init__(self, session: Session, job: Setup, questions: Questions, command: str, work: Path) -> None:
        self.session = session
        self.job = job
        self.questions = questions
        self.work = work
        spec = spec_of(session, job, questions)
        self.log = PredictionLog(work / PREDICTIONS, session.progress.say)
        self.before = self._left(spec)
        reset_peaks()
        self.meter = CostMeter(self.before)
        self.record = _first_record(session, job, questions, spec, command)
        self._llm = session.models.llm
        self._frozen = weights_fingerprint(self._llm.model)

    def run(self) -> Record:
        """Fit, predict and score; see `run_job`."""
        write_record_into(self.work, self.record)
        if self.session.generations is not None:
            self.session.generations.mark()
        try:
            with self.log:
                self._work()
        except SystemExit as error:  # else it would end the program, other runs and all, in silence
            self._failed(error)
            raise RunError(f"method '{self.job.method.name}' ended its run by {described(error)}") from error
        except BaseException as error:
            self._failed(error)
            raise
        write_record_into(self.work, self.record)
        self.log.settle()
        return self.record

    def _left(self, spec: Mapping[str, Any]) -> Cost:
        """What the interrupted attempt has cost that goes on. What any other has left is removed."""
        earlier = earlier_record(self.work)
        goes_on = (
            earlier is not None and earlier.request == request_key(spec) and earlier.status != "complete"
        )
        if earlier is not None and goes_on and earlier.code != self.job.code:
            self.session.progress.say(
                f"{earlier.name} begins anew: lampbench's code has changed since it was interrupted"
            )
            goes_on = False
        if earlier is None or not goes_on or self.session.plan.request.fresh:
            self.log.clear()
            (self.work / OFFICIAL).unlink(missing_ok=True)
            return Cost()
        # Of a run that left no answer nothing is gone on with, but for a training that knows of its own seconds.
        return earlier.cost if self.log.read() else Cost()

    def _work(self) -> None:
        with self.meter.phase("fit"):
            fitted = self.session.fitted(self.job)
        self.meter = CostMeter(_with_fit(self.before, fitted))
        self._predict(fitted)
        choice = self._choice(fitted)
        if self._is_spoilt():
            raise RunError(f"method '{self.job.method.name}' changed the frozen LLM: work on a copy of it")
        self.record = replace(self._finished(fitted), choice=choice)

    def _is_spoilt(self) -> bool:
        """Whether the method has changed the LLM."""
        return weights_fingerprint(self._llm.model) != self._frozen

    def _failed(self, error: BaseException) -> None:
        """Record how far it came and why not farther; of a spoilt LLM nothing is kept."""
        session = self.session
        if self._is_spoilt():
            session.models.forget_llm()  # the next job gets an unspoilt one
            self.log.clear()  # and this one, run again, must not go on with a spoilt one's answers
            if session.generations is not None:
                session.generations.withdraw()
            session.discard(self.job)
        self.record = replace(self.record, cost=self.meter.cost(), finished=now())
        if isinstance(error, (Exception, SystemExit)):
            told = str(error) if isinstance(error, LampbenchError) else described(error)
            self.record = replace(self.record, status="failed", error=shareable(" ".join(told.split())))
        write_record_into(self.work, self.record)

    # The steps

    def _predict(self, fitted: Fitted) -> None:
        """Answer what is not answered yet."""
        log, meter, asked = self.log, self.meter, self.questions.asked
        done = log.read()
        for line in done.values():
            meter.add_line(line)
        # Left by a part that was killed before it could tell: at least a call each.
        meter.add_calls(PREDICT, max(0, len(done) - self.before.examples))
        # Long inputs first: neighbours are of similar length, and what does not fit into memory fails at once.
        order = sorted(asked, key=lambda e: -len(e.input))
        shown = self._shown(fitted, order)
        todo = [e for e in order if e.id not in done]
        examples = [e for e in shown if e.id not in done]
        users = {e.id: e.user_id for e in todo}
        job, account = self.job, fitted.bench.shared
        spent = replace(account)
        told = account.asked.copy()
        title = f"{job.label} on {job.task.name}" + (f", seed {job.seed}" if job.seed else "")
        with self.session.progress.bar(title, len(asked)) as bar, meter.phase(PREDICT):
            bar.update(len(done))
            try:
                for prediction in checked(fitted.predict(examples), todo, job.method.name):
                    heard = account.asked.copy()
                    line = line_of(prediction, users[prediction.id], asked=heard - told)
                    told = heard
                    log.append([line])
                    meter.add_line(line)
                    bar.advance()
            finally:
                meter.add_calls(
                    PREDICT,
                    account.calls - spent.calls,
                    account.reused - spent.reused,
                    account.reused_seconds - spent.reused_seconds,
                )
        # Of all that are asked: a resumed run has the same sample.
        weights = [fitted.bytes_per_user(example) for example in shown[:USERS_WEIGHED]]
        known = [weight for weight in weights if weight is not None]
        if known:
            meter.set_kept(sum(known), len(known))

    def _shown(self, fitted: Fitted, examples: Sequence[Example]) -> Sequence[Example]:
        """The questions with the history that the method is to see."""
        viewed = self.questions.shown(self.job.profile, examples, fitted.bench.rng)
        fitted.bench.shared.items = viewed.items
        return viewed.examples

    def _choice(self, fitted: Fitted) -> ChoiceRecord | None:
        """How well the method chose among answers; None for a method that does not choose."""
        chosen = {id: line.get("extra", {}).get("chosen") for id, line in self.log.read().items()}
        if not all(isinstance(name, str) for name in chosen.values()):
            return None
        counts = ChoiceRecord(chosen=count_chosen(chosen))
        if not self.questions.scored:
            return counts
        with self.meter.phase(
            "bounds"
        ):  # the LLM calls in it serve the record, not the user: they are no cost
            asked = sorted(self.questions.asked, key=lambda e: -len(e.input))
            pool = fitted.alternatives(self._shown(fitted, asked))
            answers = {
                name: {p.id: p.output for p in checked(predictions, asked, f"{fitted.name}: {name}")}
                for name, predictions in pool.items()
            }
            if not answers:
                return counts
            return weigh_choice(self.job.task, chosen, answers, read_golds(self.questions))

    def _finished(self, fitted: Fitted) -> Record:
        """The complete record; scores what the log holds."""
        job, questions, log = self.job, self.questions, self.log
        ids = questions.asked.ids
        lines = log.read()
        values: dict[str, MetricRecord] = {}
        counts = {"n": len(ids)}
        if questions.scored:
            outputs = {id: lines[id]["output"] for id in ids if id in lines}
            with self.meter.phase("score"):
                score = metrics.score(job.task, outputs, read_golds(questions))
                values = {name: self._metric(score, name, value) for name, value in score.metrics.items()}
            counts |= score.counts
            sha256 = log.finalize(ids, score.logged, score.labels or None)
        else:
            sha256 = log.finalize(ids)
            lines = log.read()
            outputs = {id: lines[id]["output"] for id in ids}
            counts["empty"] = sum(not text.strip() for text in outputs.values())
            write_predictions_file(log.path.with_name(OFFICIAL), job.task, outputs)
        counts["truncated"] = sum(bool(line.get("truncated")) for line in lines.values())
        if job.settings.extract != "none":
            counts["extracted"] = sum("said" in line for line in lines.values())
            said = [line["said" if "said" in line else "output"] for line in lines.values()]
            counts["ambiguous"] = sum(is_ambiguous(job.settings.extract, job.task, text) for text in said)
        counts |= {name: questions.counts[name] for name in ("empty_profile", "undated")}
        return replace(
            self.record,
            status="complete",
            method=replace(self.record.method, trainable_parameters=fitted.report.trainable_parameters),
            metrics=values,
            counts=counts,
            cost=self.meter.cost(),
            training=fitted.report.training,
            predictions_sha256=sha256,
            finished=now(),
        )

    def _metric(self, score: metrics.Score, name: str, value: float) -> MetricRecord:
        low, high = metrics.interval(score, name, groups=self.questions.users)
        return MetricRecord(value, low, high, score.counts["n"])


def _with_fit(before: Cost, fitted: Fitted) -> Cost:
    """The cost of the interrupted part, with that of fitting: restored or fitted now, the method costs it.

    So do the methods that it is built on; what they took was not spent on this run and counts as reused.
    """
    own, others = fitted.report, [other.report for other in fitted.below().values()]
    reused = own.reused + sum(report.calls + report.reused for report in others)
    seconds = own.reused_seconds + sum(report.seconds + report.reused_seconds for report in others)
    return replace(
        before,
        seconds=before.seconds | {"fit": own.seconds},
        calls_by_phase=before.calls_by_phase | {"fit": own.calls},
        reused_by_phase=before.reused_by_phase | {"fit": reused},
        reused_seconds=before.reused_seconds | {"fit": round(seconds, 3)},
    )


def checked(
    predictions: Iterator[Prediction], examples: Sequence[Example], method: str
) -> Iterator[Prediction]:
    """The predictions, as long as there is one per example, in order.

    Raises:
        RunError: one is missing, out of order, one too many, or no Prediction.
    """
    rule = "predict must yield lampbench.method.Prediction objects, one per example, in order"
    try:
        produced = iter(predictions)
    except TypeError:  # no generator, and no list either
        what = type(predictions).__name__
        raise RunError(f"method '{method}' gave a {what} for all questions: {rule}") from None
    for example in examples:
        prediction = next(produced, None)
        if prediction is None:
            raise RunError(f"method '{method}' gave no prediction for question '{example.id}': {rule}")
        if not isinstance(prediction, Prediction):
            what = type(prediction).__name__
            raise RunError(f"method '{method}' gave a {what} for question '{example.id}': {rule}")
        if not isinstance(prediction.output, str):
            what = type(prediction.output).__name__
            raise RunError(f"method '{method}' answered question '{example.id}' with a {what}, not a text")
        if prediction.id != example.id:
            raise RunError(
                f"method '{method}' answered question '{prediction.id}' where '{example.id}' was asked: {rule}"
            )
        yield prediction
    extra = next(produced, None)
    if extra is not None:
        about = f" for question '{extra.id}'" if isinstance(extra, Prediction) else ""
        raise RunError(f"method '{method}' gave a {type(extra).__name__} too many{about}: {rule}")


# The record


def _first_record(
    session: Session, job: Setup, questions: Questions, spec: Mapping[str, Any], command: str
) -> Record:
    plan, info, cls = session.plan, job.method.info, job.method.cls
    roles = job.roles
    return Record(
        suite=plan.suite,
        task=job.task.name,
        seed=job.seed,
        method=MethodRecord(
            name=job.method.name,
            variant=job.variant,
            origin=info.origin,
            sha256=info.sha256(),
            config=options_of(job.config),
            built_on={name: options_of(other.config) for name, other in job.below().items()},
            summary=cls.summary,
            paper=cls.paper,
            reads_profile=cls.reads_profile,
            order=cls.order,
        ),
        data=DataRecord(
            name=questions.name,
            setting=plan.setting,
            split=questions.asked.name,
            fingerprint=questions.asked.fingerprint,
            n=len(questions.asked),
            counts=questions.counts,
            limit=questions.limit,
            train=session.train(job.task).fingerprint if job.learns else None,
        ),
        llm=session.models.record("llm"),
        encoder=session.models.record("encoder") if "encoder" in roles else None,
        retriever=session.models.record("retriever") if "retriever" in roles else None,
        generation=_generation(plan, job),
        request=request_key(spec),
        spec=without_folders(plain(spec), marked=True),
        code=job.code,
        command=command,
        prompt_version=PROMPT_VERSION,
        environment=environment(),
        started=now(),
    )


def _generation(plan: Plan, job: Setup) -> dict[str, Any]:
    """The limits of generation, and what is not usual about it."""
    settings = asdict(job.settings)
    if job.settings.extract == "none":
        del settings["extract"]
    return settings | ({"chat_template": True} if plan.models.chat_template else {})
