"""Fine-tuning with Accelerate: one loop for intermediate steps and for targets."""

import contextlib
import hashlib
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType, gather_object, set_seed
from torch import nn
from torch.optim.lr_scheduler import LambdaLR
from tqdm import tqdm
from transformers import PretrainedConfig, PreTrainedModel

from stiltwalk.models.architecture import architecture_of
from stiltwalk.models.multitask import MultiTaskModel
from stiltwalk.models.resume import STOPPED, Resume
from stiltwalk.perf.bf16_weights import install_bf16_weights
from stiltwalk.perf.cuda_graphs import PADDING_MULTIPLE, RecordedPasses
from stiltwalk.perf.embedding_rows import UsedEmbeddingRows, used_embedding_rows
from stiltwalk.perf.fast_dropout import install_fast_dropout
from stiltwalk.training.batching import token_batches, training_batches
from stiltwalk.training.best import Best, full_tensor
from stiltwalk.training.evaluation import Flags, Scores, evaluate
from stiltwalk.training.memory import out_of_memory_hint
from stiltwalk.training.optimizer import make_optimizer
from stiltwalk.training.sampler import describe_cost, sample_tasks
from stiltwalk.training.settings import Settings
from stiltwalk.training.task_data import TaskData
from stiltwalk.utils.errors import InputError

Batch = dict[str, torch.Tensor]


class NotFinite(InputError):
    """The loss of a training is infinite or not a number."""


@dataclass
class TrainingResult:
    """The model with the weights to keep, their validation scores, and the problems of the training."""

    model: MultiTaskModel
    scores: Scores
    flags: Flags
    """What is wrong, by task; only tasks that were not learned."""
    reasons: list[str] = field(default_factory=list)
    """Why each earlier attempt was given up."""

    @property
    def problems(self) -> dict[str, Any]:
        """What to record of problems: `flags`, and as `attempts` the reasons; neither where it is empty."""
        problems = {"flags": self.flags, "attempts": self.reasons}
        return {key: value for key, value in problems.items() if value}


class Trainer:
    """Trains an encoder, and a new head for each task, on the rows of the tasks. Every batch belongs to one task.

    The loss of a step is the mean over all its loss terms, on however many processes and in however many micro-batches
    they lie. Only in a lexical injection does a term depend on the other rows of its micro-batch.
    """

    optimizer: Any
    lr_scheduler: LambdaLR
    wrapped_model: nn.Module
    """The model as Accelerate distributes it."""
    parameters: list[nn.Parameter]
    embedding_rows: UsedEmbeddingRows | None
    run_pass: Callable[[str, Batch, float], torch.Tensor]
    """`forward_backward`, or what records and replays it."""
    bar: "tqdm[str]"

    def __init__(
        self,
        accelerator: Accelerator,
        encoder: PreTrainedModel,
        data: dict[str, TaskData],
        settings: Settings,
        seed: int,
        name: str,
        resume: Resume | None = None,
    ):
        """Schedule the tasks and create the heads.

        data: by the name of the task. seed: decides the heads, the order of rows, and dropout. name: of the training,
        for messages. resume: a saved state to resume from, and where to save new ones; None for neither.
        """
        check_batch_size(settings, accelerator.num_processes)
        self.accelerator, self.encoder, self.data, self.settings = accelerator, encoder, data, settings
        self.seed, self.name, self.resume = seed, name, resume

        set_seed(seed)
        generator = np.random.default_rng(seed)
        self.schedule = sample_tasks(data, settings, generator)
        """The name of the task of every step."""
        self.batches = {
            task_name: training_batches(
                task_data.train.lengths, settings.batch_size, self.schedule.count(task_name), generator
            )
            for task_name, task_data in data.items()
        }
        dropout = 0.1 if settings.dropout is None else settings.dropout
        heads = {task_name: task_data.task.make_head(encoder, dropout) for task_name, task_data in data.items()}
        self.model = MultiTaskModel(encoder, heads)
        if settings.gradient_checkpointing:
            encoder.activation_checkpointing_enable()

        self.records_passes = settings.cuda_graphs and can_record_passes(accelerator, settings, encoder.config)
        self.multiples = {task_name: self.padding_multiple(task_data) for task_name, task_data in data.items()}
        self.padded_lengths = {
            task_name: task_data.train.padded_lengths(self.multiples[task_name])
            for task_name, task_data in data.items()
        }

        self.log_interval = math.ceil(len(self.schedule) / 100)
        self.evaluation_interval = math.ceil(len(self.schedule) / settings.evaluations)
        self.best = Best(settings.keep)
        self.step = 0
        """Steps done."""
        self.tokens = self.first_tokens = 0
        """Tokens trained on so far; `first_tokens` is their number when this process started."""
        self.learning_rate = 0.0
        self.loss_sum = torch.zeros((), device=accelerator.device)
        """Sum of this process's losses since the last log. It stays on the device, so that no step waits for a GPU."""
        self.norm_sum = torch.zeros((), device=accelerator.device)
        """Sum of the gradient norms since the last log, without those of skipped steps."""
        self.norm_count = 0
        """Number of the gradient norms in `norm_sum`."""

    def train(self) -> TrainingResult:
        """Run all steps, or those after the saved state.

        Raises NotFinite if the loss is infinite or NaN, and SystemExit(STOPPED) when a signal asked to stop and the
        state is saved.
        """
        with (
            self.limit_embedding() as self.embedding_rows,
            out_of_memory_hint("micro_batch_tokens", self.settings),
            self.resume or contextlib.nullcontext(),
        ):
            self.prepare()
            with self.install_speedups():
                start = time.perf_counter()
                for task_name in self.bar:
                    self.update(task_name)
                    is_last = self.step == len(self.schedule)
                    if self.step % self.log_interval == 0 or is_last:
                        self.log()
                    if self.step % self.evaluation_interval == 0 or is_last:
                        self.evaluate()
                    self.save_if_due(time.perf_counter() - start)
                seconds = time.perf_counter() - start
            scores, flags = self.best.restore(self.model)
            rate = (self.tokens - self.first_tokens) / seconds
            self.accelerator.print(f"{self.name}: trained in {seconds:.1f} s, {rate:,.0f} tokens/s with validation")
        return TrainingResult(self.model, scores, flags)

    # ---- Preparation

    def padding_multiple(self, task_data: TaskData) -> int:
        """Return the multiple that the sequences of a task are padded to.

        Where passes are recorded, sequences are padded so that shapes recur. Passes with an `mlm_mask` are never
        recorded.
        """
        return PADDING_MULTIPLE if self.records_passes and "mlm_mask" not in task_data.train.columns else 1

    def limit_embedding(self) -> contextlib.AbstractContextManager[UsedEmbeddingRows | None]:
        """Train only the embedding rows that occur in the data; FSDP instead shards the whole embedding."""
        if self.accelerator.is_fsdp2:
            return contextlib.nullcontext()
        heads = [self.model.head(task_name) for task_name in self.data]
        rows = [rows for task_data in self.data.values() for rows in (task_data.train, task_data.validation)]
        return used_embedding_rows(self.encoder, heads, rows)

    def prepare(self) -> None:
        """Create the optimizer, move everything to the accelerator's device, and load the saved state if any."""
        self.optimizer, self.lr_scheduler = make_optimizer(self.model, self.settings, len(self.schedule))
        self.wrapped_model, self.optimizer = self.accelerator.prepare(self.model, self.optimizer)
        self.parameters = list(self.wrapped_model.parameters())
        set_seed(self.seed, device_specific=True)  # processes share their initial weights, but not their dropout
        self.accelerator.print(describe_cost(self.name, self.schedule, self.data, self.settings))
        if self.settings.cuda_graphs and self.accelerator.device.type == "cuda" and not self.records_passes:
            self.accelerator.print(
                f"{self.name}: CUDA graphs are off: they need one process, gradient_checkpointing=false, "
                "attention=sdpa and an architecture that they were tested with (models/architecture.py)"
            )
        if self.resume and self.resume.is_saved:
            self.load_state(self.resume)
        self.bar = tqdm(
            self.schedule[self.step :],
            desc=self.name,
            unit="step",
            initial=self.step,
            total=len(self.schedule),
            mininterval=1,
            disable=not self.accelerator.is_main_process,
        )
        self.model.train()

    @contextlib.contextmanager
    def install_speedups(self) -> Iterator[None]:
        """Install what makes passes faster; after the block the model is what it was before."""
        with contextlib.ExitStack() as installed:
            if self.accelerator.device.type == "cpu":
                installed.enter_context(install_fast_dropout(self.model))
            # FSDP rounds weights itself.
            rounds_weights = architecture_of(self.encoder.config).bf16_weights and not self.accelerator.is_fsdp2
            if self.accelerator.mixed_precision == "bf16" and rounds_weights:
                installed.enter_context(install_bf16_weights(self.encoder))
            self.run_pass = self.forward_backward
            if self.records_passes:
                self.run_pass = RecordedPasses(self.model.parameters(), self.forward_backward)
            try:
                yield
            finally:
                del self.run_pass  # frees the memory of recorded passes

    # ---- One step

    def update(self, task_name: str) -> None:
        """Update the weights by one batch of a task."""
        rows = next(self.batches[task_name])
        self.accumulate_gradients(task_name, rows)
        norm = self.accelerator.clip_grad_norm_(self.parameters, self.settings.max_grad_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.learning_rate = float(self.lr_scheduler.get_last_lr()[0])
        if not self.accelerator.optimizer_step_was_skipped:  # fp16 overflow skips the step
            self.norm_sum += full_tensor(norm)
            self.norm_count += 1
            if self.embedding_rows:
                self.embedding_rows.decay(self.learning_rate, self.settings.weight_decay)
        self.lr_scheduler.step()
        self.step += 1
        self.tokens += int(self.data[task_name].train.lengths[rows].sum())

    def accumulate_gradients(self, task_name: str, rows: np.ndarray) -> None:
        """Add up the gradients of a batch, micro-batch by micro-batch."""
        train, pad_id = self.data[task_name].train, self.encoder.config.pad_token_id
        process, processes = self.accelerator.process_index, self.accelerator.num_processes
        # A batch may have no label to learn from. Its loss is then 0 / 1, and not 0 / 0.
        loss_terms = max(1, int(train.loss_terms[rows].sum()))
        micro_batches = token_batches(
            self.padded_lengths[task_name][rows], self.settings.micro_batch_tokens, processes=processes
        )
        for micro_batch in micro_batches:
            local_rows, divisor = rows[micro_batch[process::processes]], float(loss_terms)
            if not len(local_rows):
                # Every process must take part in the passes where processes communicate: FSDP gathers weights in each,
                # DDP exchanges gradients in the last. A process without rows passes a row of another process, whose
                # loss is divided by infinity and so adds nothing.
                local_rows, divisor = rows[micro_batch[:1]], math.inf
            batch = train.tensors(local_rows, pad_id, self.accelerator.device, self.multiples[task_name])
            # Processes exchange gradients once per step, in the last pass.
            is_last = micro_batch is micro_batches[-1]
            with contextlib.nullcontext() if is_last else self.accelerator.no_sync(self.wrapped_model):
                self.loss_sum += self.run_pass(task_name, batch, divisor)

    def forward_backward(self, task_name: str, batch: Batch, divisor: float | torch.Tensor) -> torch.Tensor:
        """Add the gradients of one micro-batch; return its share of the step's mean loss.

        divisor: the loss terms of the whole step.
        """
        logits = self.wrapped_model(task_name, batch["input_ids"], batch["attention_mask"], batch.get("mlm_mask"))
        loss = self.data[task_name].task.loss(logits.float(), batch) / divisor
        self.accelerator.backward(loss * self.accelerator.num_processes)  # DDP averages gradients over processes
        return loss.detach()

    # ---- Between steps

    def log(self) -> None:
        """Log mean loss and mean gradient norm since the last log, and the learning rate of the last step.

        Skipped steps have no gradient norm. If all were skipped, none is logged.
        """
        steps = (self.step - 1) % self.log_interval + 1
        loss = self.accelerator.reduce(self.loss_sum).item() / steps
        if not math.isfinite(loss):
            peak, where = self.settings.learning_rate, self.settings.where
            raise NotFinite(
                f"{self.name}: the loss is {loss} at step {self.step}; {where}.learning_rate is {peak:g}: "
                f"try a lower one, such as -S {self.settings.override('learning_rate')}={peak / 2:g}"
            )
        values = {"train/loss": round(loss, 6), "train/learning_rate": float(f"{self.learning_rate:.6g}")}
        if self.norm_count:
            values["train/gradient_norm"] = round(self.norm_sum.item() / self.norm_count, 6)
        self.loss_sum.zero_()
        self.norm_sum.zero_()
        self.norm_count = 0
        self.accelerator.log(values, step=self.step)
        rate = (self.tokens - self.first_tokens) / (self.bar.format_dict["elapsed"] or 1)
        self.bar.set_postfix_str(f"loss {loss:.3f}, {rate:,.0f} tokens/s", refresh=False)

    def evaluate(self) -> None:
        """Score the model on the validation rows of every task."""
        scores, flags = evaluate(self.accelerator, self.model, self.data, self.settings)
        self.model.train()
        self.best.update(self.model, scores, flags)
        values = {
            f"validation/{task_name}/{metric}": value
            for task_name, task_scores in scores.items()
            for metric, value in task_scores.items()
        }
        self.accelerator.log(values, step=self.step)

    def save_if_due(self, seconds: float) -> None:
        """Save the state if it is time to, and stop if a signal asked to.

        A long training saves its state after the last step too: predicting every language may take as long.

        seconds: how long this process has trained.
        """
        if not self.resume:
            return
        is_long = seconds > self.resume.interval > 0
        if self.resume.due(self.accelerator, self.step == len(self.schedule) and is_long):
            self.save_state(self.resume)
            if any(gather_object([self.resume.stop_requested])):
                self.accelerator.print(f"{self.name}: stopped; the same command resumes after step {self.step:,}")
                raise SystemExit(STOPPED)

    # ---- State

    def save_state(self, resume: Resume) -> None:
        """Save everything that the remaining steps depend on."""
        best, best_weights = self.best.state()
        facts = {"step": self.step, "tokens": self.tokens, "norm_count": self.norm_count, "best": best}
        facts |= {"scheduler": self.lr_scheduler.state_dict()}
        sums = {"loss_sum": self.loss_sum.cpu(), "norm_sum": self.norm_sum.cpu()}
        if self.accelerator.is_fsdp2:  # each process has its own shard
            resume.save(self.accelerator, facts, sums | best_weights, {})
        else:
            resume.save(self.accelerator, facts, sums, best_weights)

    def load_state(self, resume: Resume) -> None:
        """Load what `save_state` saved, and skip the batches of the steps that are done."""
        facts, local, shared = resume.load(self.accelerator)
        self.step, self.norm_count = facts["step"], facts["norm_count"]
        self.tokens = self.first_tokens = facts["tokens"]
        self.lr_scheduler.load_state_dict(facts["scheduler"])
        self.loss_sum.copy_(local.pop("loss_sum"))
        self.norm_sum.copy_(local.pop("norm_sum"))
        self.best.load(facts["best"], local | shared)
        for task_name in self.schedule[: self.step]:
            next(self.batches[task_name])
        self.accelerator.print(f"{self.name}: resuming after step {self.step:,} of {len(self.schedule):,}")


def check_batch_size(settings: Settings, processes: int) -> None:
    """Raise InputError unless every process gets an example of a batch."""
    if settings.batch_size < processes:
        raise InputError(
            f"params.yaml: {settings.where}.batch_size is {settings.batch_size}; it must be at least {processes}, one "
            f"example for each process: -S {settings.override('batch_size')}={processes}"
        )


def can_record_passes(accelerator: Accelerator, settings: Settings, encoder: PretrainedConfig) -> bool:
    """Return whether passes can be recorded as CUDA graphs: on one GPU, without gradient checkpointing.

    Gradient checkpointing reads the state of the random numbers, which is impossible within a graph. Flash and flex
    attention remove padding, so that shapes depend on the values of the batch.
    """
    is_one_gpu = accelerator.device.type == "cuda" and accelerator.distributed_type == DistributedType.NO
    fits = architecture_of(encoder).cuda_graphs and settings.attention in ("sdpa", "eager")
    return is_one_gpu and fits and not settings.gradient_checkpointing


def train_with_retries(
    accelerator: Accelerator,
    load: Callable[[], PreTrainedModel],
    data: dict[str, TaskData],
    settings: Settings,
    seeds: Callable[[int], int],
    name: str,
    resume: Resume,
) -> TrainingResult:
    """Train; if a task is flagged or the loss is not finite, train again with another seed.

    There are at most settings.retries further trainings.

    load: returns the encoder to start from. seeds: returns the seed of attempt 0, 1, ...
    """
    while True:
        reasons = resume.reasons()
        try:
            result = Trainer(accelerator, load(), data, settings, seeds(len(reasons)), name, resume).train()
        except NotFinite as error:
            if len(reasons) >= settings.retries:
                raise
            why = str(error)
        else:
            why = "; ".join(f"{task} {flag}" for task, flag in result.flags.items())
            if not why or len(reasons) >= settings.retries:
                return replace(result, reasons=reasons)
            del result  # its model would lie on the device beside that of the next attempt
        accelerator.print(f"{name}: {why}; again with another seed")
        accelerator.free_memory()
        resume.give_up(accelerator, why)


def seed_for(seed: int, name: str, attempt: int = 0) -> int:
    """Return the seed of one attempt of a training.

    name: what tells trainings with the same `seed` apart: the steps of an order so far, or a target.
    """
    parts = [str(seed), name, *([f"attempt {attempt}"] if attempt else [])]
    return int.from_bytes(hashlib.sha256("/".join(parts).encode()).digest()[:4], "little")
