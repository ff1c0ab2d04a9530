"""Training and prediction with Accelerate: the one loop for intermediate steps and targets alike."""

import contextlib
import hashlib
import math
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import torch
from accelerate import Accelerator, PartialState
from accelerate.tracking import DVCLiveTracker
from accelerate.utils import (
    DistributedDataParallelKwargs,
    DistributedType,
    gather_object,
    parse_flag_from_env,
    set_seed,
)
from dvclive import Live
from torch import nn
from tqdm import tqdm
from transformers import PreTrainedModel, get_linear_schedule_with_warmup

from stiltwalk.models.multitask import MultiTaskModel, predicting, rounding
from stiltwalk.models.resume import ENDED, Resume
from stiltwalk.perf.cuda_graphs import WIDTH, Recorded
from stiltwalk.perf.embedding_rows import on_touched_rows
from stiltwalk.perf.fast_dropout import fast_dropout
from stiltwalk.training.batching import Encoded, token_batches, training_batches
from stiltwalk.training.flags import flag
from stiltwalk.training.memory import fitting
from stiltwalk.training.settings import Settings
from stiltwalk.utils.errors import InputError
from stiltwalk.utils.stage import whole_folder

CODE = ("training", "kinds")
"""What a training runs of src/, beside what all do."""
PART = 16_384  # rows that are predicted at a time
NO_DECAY = ("bias", "LayerNorm.weight")
Scores = dict[str, dict[str, float]]
Flags = dict[str, str]


class NotFinite(InputError):
    """The loss of a training is not a number any more."""


class Kind(Protocol):
    """What a kind of task brings to training: see the modules in src/kinds/."""

    def head(self, encoder: PreTrainedModel, dropout: float) -> nn.Module: ...
    def loss(self, logits: torch.Tensor, batch: dict[str, torch.Tensor]) -> torch.Tensor: ...
    def decode(self, logits: list[np.ndarray], encoded: Encoded, table: pa.Table) -> list[Any]: ...
    def evaluate(self, predictions: list[Any], table: pa.Table) -> dict[str, float]: ...
    def guess(self, table: pa.Table) -> list[Any] | None: ...
    def write(self, predictions: list[Any], table: pa.Table, path: Path) -> None: ...


@dataclass
class Data:
    """The rows of one task: training rows encoded, validation rows as a table and encoded."""

    kind: Kind
    train: Encoded
    validation_table: pa.Table
    validation: Encoded


def seed_of(seed: int, name: str, attempt: int = 0) -> int:
    """A seed of its own for every name (the steps of an order so far, or a target), and for each attempt."""
    parts = [str(seed), name, *([f"attempt {attempt}"] if attempt else [])]
    return int.from_bytes(hashlib.sha256("/".join(parts).encode()).digest()[:4], "little")


@contextlib.contextmanager
def accelerating(settings: Settings, tasks: int = 1, live: Live | None = None) -> Iterator[Accelerator]:
    """An Accelerator for these settings, its process group ended with the block; `live` writes what is logged."""
    on_cpu = PartialState(parse_flag_from_env("ACCELERATE_USE_CPU")).device.type == "cpu"  # as Accelerator would
    if on_cpu:
        tune_processor()
    if settings.threads:
        torch.set_num_threads(settings.threads)
    if settings.mixed_precision == "bf16" and on_cpu and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        raise InputError(
            f"params.yaml: {settings.where}.mixed_precision is bf16, which this processor has not: it would take many "
            "times as long; -S training.mixed_precision=no"
        )
    if settings.mixed_precision == "fp16" and on_cpu:  # Accelerate would train in float32 and say nothing
        raise InputError(
            f"params.yaml: {settings.where}.mixed_precision is fp16, for GPUs alone; "
            "-S training.mixed_precision=no (or bf16)"
        )
    accelerator = Accelerator(
        mixed_precision=settings.mixed_precision,
        # In a joint step the heads of the other tasks get no gradient. Buffers are the same in all processes.
        kwargs_handlers=[
            DistributedDataParallelKwargs(
                find_unused_parameters=tasks > 1, gradient_as_bucket_view=True, broadcast_buffers=False
            )
        ],
        log_with=DVCLiveTracker(live=live) if live else None,
    )
    accelerator.init_trackers("stiltwalk")
    yield accelerator
    # Without the barrier gloo's thread may wait for the GIL to let go of a tensor while the main thread, which has it,
    # waits for that thread (torch 2.13). No `finally`: where one process failed, the others would wait for ever.
    accelerator.wait_for_everyone()
    accelerator.end_training()


@contextlib.contextmanager
def recording(curves: Path, resume: Resume) -> Iterator[Live | None]:
    """DVCLive for one training (None but on the main process); at the end `curves` holds one TSV file a curve.

    A training that is taken up again goes on with its own. Nothing with a clock in it is kept: the same run gives the
    same bytes.
    """
    if int(os.environ.get("RANK", 0)):
        yield None
        return
    with tempfile.TemporaryDirectory() as folder, whole_folder(curves) as out:
        going_on, resume.recorded = resume.curves(Path(folder)), Path(folder)
        yield Live(folder, resume=going_on, save_dvc_exp=False, dvcyaml=None, report=None, monitor_system=False)
        shutil.copytree(Path(folder) / "plots" / "metrics", out, dirs_exist_ok=True)


def tune_processor() -> None:
    """Let a CPU multiply float32 by oneDNN, which is faster than torch's default on many, where that is exact.

    "medium" allows bfloat16, which oneDNN takes where the processor has matrix units for it (AMX): told by the error.
    Fused attention makes one small product a head and block, which is slow in oneDNN; plain attention is not.
    """
    a, b = np.random.default_rng(0).standard_normal((2, 512, 512), np.float32)
    torch.set_float32_matmul_precision("medium")
    error = np.abs((torch.from_numpy(a) @ torch.from_numpy(b)).numpy() - a.astype(np.float64) @ b).max()
    exact = bool(error < 1e-3)  # float32 stays below 1e-4, bfloat16 is beyond 1e-2
    torch.set_float32_matmul_precision("medium" if exact else "highest")
    torch.backends.cuda.enable_flash_sdp(not exact)  # of the CPU too


def make_optimizer(
    model: nn.Module, settings: Settings, steps: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LambdaLR]:
    """AdamW without decay on biases and layer norms; linear warm-up and decay, one scheduler step an optimizer step."""
    trained = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    decayed = [p for n, p in trained if not n.endswith(NO_DECAY)]
    others = [p for n, p in trained if n.endswith(NO_DECAY)]
    groups = [{"params": decayed, "weight_decay": settings.weight_decay}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=settings.learning_rate, fused=True)
    return optimizer, get_linear_schedule_with_warmup(optimizer, round(settings.warmup * steps), steps)


def plan_steps(data: Mapping[str, Data], settings: Settings, generator: np.random.Generator) -> list[str]:
    """The task of every optimizer step, shuffled: as many steps as there are batches in all epochs, shared out so.

    A task that is trained alone has all its rows, whatever the sampler.
    """
    rows = {task: len(d.train) for task, d in data.items()}
    if settings.sampler == "capped" and len(rows) > 1:
        rows = {task: min(count, settings.cap) for task, count in rows.items()}
    counts = {task: math.ceil(count * settings.epochs / settings.batch_size) for task, count in rows.items()}
    if settings.sampler in ("temperature", "uniform"):
        power = 1 / settings.temperature if settings.sampler == "temperature" else 0.0
        weights = np.array([count**power for count in rows.values()])
        ends = np.rint(np.cumsum(weights / weights.sum()) * sum(counts.values())).astype(int)
        counts = dict(zip(rows, np.diff(ends, prepend=0).tolist(), strict=True))
    tasks = [task for task, count in counts.items() for _ in range(count)]
    return [tasks[i] for i in generator.permutation(len(tasks))]


def train(
    accelerator: Accelerator,
    encoder: PreTrainedModel,
    data: dict[str, Data],
    settings: Settings,
    seed: int,
    name: str,
    resume: Resume | None = None,
) -> tuple[MultiTaskModel, Scores, Flags]:
    """Train the encoder, with a fresh head a task, on the tasks' rows; one batch is of one task.

    The loss of a step is the mean over all its loss terms, on however many processes and micro-batches they lie.
    Returns the model with the weights to keep, their validation scores by task, and what is wrong with which task.
    Raises NotFinite where the loss is not finite. With `resume` it goes on from a saved state, and saves its own.
    """
    if settings.batch_size < accelerator.num_processes:
        raise InputError(
            f"params.yaml: training.batch_size {settings.batch_size} is less than one example for each of the "
            f"{accelerator.num_processes} processes"
        )
    set_seed(seed)
    generator = np.random.default_rng(seed)
    plan = plan_steps(data, settings, generator)
    batches = {
        task: training_batches(d.train.lengths, settings.batch_size, plan.count(task), generator)
        for task, d in data.items()
    }
    dropout = 0.1 if settings.dropout is None else settings.dropout
    heads = {task: d.kind.head(encoder, dropout) for task, d in data.items()}
    if settings.gradient_checkpointing:
        encoder.activation_checkpointing_enable()
    texts = [encoded for d in data.values() for encoded in (d.train, d.validation)]
    # FSDP shares out the whole embedding with the other weights.
    rows_alone = nullcontext() if accelerator.is_fsdp2 else on_touched_rows(encoder, heads.values(), texts)
    with rows_alone as touched, fitting("micro_batch_tokens", settings), resume or nullcontext():
        model = MultiTaskModel(encoder, heads)
        optimizer, scheduler = make_optimizer(model, settings, len(plan))
        wrapped, optimizer = accelerator.prepare(model, optimizer)
        set_seed(seed, device_specific=True)  # dropout differs between processes, the initial weights do not
        accelerator.print(cost(name, plan, data, settings))

        process, processes = accelerator.process_index, accelerator.num_processes
        rounded = accelerator.mixed_precision == "bf16" and not accelerator.is_fsdp2  # which rounds by itself

        def one_pass(task: str, batch: dict[str, torch.Tensor], divisor: Any) -> torch.Tensor:
            """Adds up the gradients of a part of a step; returns its share of the step's mean loss."""
            with fast_dropout(), model.reading(task), rounding(encoder) if rounded else nullcontext():
                logits = wrapped(task, batch["input_ids"], batch["attention_mask"], batch.get("picked"))
                loss = data[task].kind.loss(logits.float(), batch) / divisor
                accelerator.backward(loss * processes)  # DDP divides by them
            return loss.detach()

        recorded = settings.cuda_graphs and recordable(accelerator, settings)
        if settings.cuda_graphs and not recorded and accelerator.device.type == "cuda":
            accelerator.print(
                f"{name}: with several processes or gradient checkpointing no passes are recorded as CUDA graphs; one "
                "GPU without it may be faster"
            )
        run = Recorded(model.parameters(), one_pass) if recorded else one_pass
        # Of the tokens that a batch is padded to, so that shapes come again; batches with picked tokens have no graph.
        multiples = {task: WIDTH if recorded and "picked" not in d.train.columns else 1 for task, d in data.items()}
        padded = {task: d.train.padded_to(multiples[task]) for task, d in data.items()}
        log_every, validate_every = math.ceil(len(plan) / 100), math.ceil(len(plan) / settings.evaluations)
        best, seen, start = Best(settings.keep), 0, time.perf_counter()
        running = torch.zeros((), device=accelerator.device)
        done, before, state = 0, 0, State(accelerator, scheduler, best, running)
        if resume and resume.found:
            done, before = state.load(resume)
            seen = before
            for task in plan[:done]:
                next(batches[task])
            accelerator.print(f"{name}: goes on after step {done:,} of {len(plan):,}")
        bar = tqdm(
            plan[done:],
            desc=name,
            unit="step",
            initial=done,
            total=len(plan),
            mininterval=1,
            disable=not accelerator.is_main_process,
        )
        weights = list(wrapped.parameters())
        model.train()
        for step, task in enumerate(bar, start=done + 1):
            encoded, rows = data[task].train, next(batches[task])
            terms = max(1, int(encoded.weights[rows].sum()))
            parts = token_batches(padded[task][rows], settings.micro_batch_tokens, processes=processes)
            for part in parts:
                mine = rows[part[process::processes]]
                # Where a process has none of the part, a row of another's stands in and counts for nothing: weights
                # that are shared out (FSDP) are put together in every pass, by all processes.
                divisor, mine = (terms, mine) if len(mine) else (math.inf, rows[part[:1]])
                batch = encoded.tensors(mine, encoder.config.pad_token_id, accelerator.device, multiples[task])
                # Gradients are exchanged once a step, after the last part.
                with nullcontext() if part is parts[-1] else accelerator.no_sync(wrapped):
                    running += run(task, batch, divisor)
            accelerator.clip_grad_norm_(weights, settings.max_grad_norm)
            optimizer.step()
            optimizer.zero_grad()
            if touched and not accelerator.optimizer_step_was_skipped:
                touched.decay(float(scheduler.get_last_lr()[0]), settings.weight_decay)
            scheduler.step()
            seen += int(encoded.lengths[rows].sum())
            if step % log_every == 0 or step == len(plan):
                value = accelerator.reduce(running).item() / ((step - 1) % log_every + 1)
                running.zero_()
                if not math.isfinite(value):
                    raise NotFinite(f"{name}: the loss is {value} at step {step}; try a lower training.learning_rate")
                accelerator.log({"train/loss": round(value, 6)}, step=step)
                bar.set_postfix_str(
                    f"loss {value:.3f}, {(seen - before) / (bar.format_dict['elapsed'] or 1):,.0f} tokens/s",
                    refresh=False,
                )
            if step % validate_every == 0 or step == len(plan):
                scores, flags = validate(accelerator, model, data, settings)
                model.train()
                best.see(model, scores, flags)
                accelerator.log({f"validation/{t}/{n}": v for t, s in scores.items() for n, v in s.items()}, step=step)
            # After the last step too, where the training was long: predicting every language may take long as well.
            if resume and resume.due(accelerator, step == len(plan) and time.perf_counter() - start > resume.every > 0):
                state.save(resume, step, seen)
                if any(gather_object([resume.told])):
                    accelerator.print(f"{name}: told to end; the same command goes on after step {step:,}")
                    raise SystemExit(ENDED)
        seconds = time.perf_counter() - start
        scores, flags = best.restore(model)
        rate = (seen - before) / seconds
        accelerator.print(f"{name}: trained in {seconds:.1f} s, {rate:,.0f} tokens/s with validation")
    return model, scores, flags


def recordable(accelerator: Accelerator, settings: Settings) -> bool:
    """Whether passes can be recorded as CUDA graphs: on one GPU, and with activations that are not computed anew.

    For those the state of the random numbers is read, which cannot be done in a graph.
    """
    alone = accelerator.device.type == "cuda" and accelerator.distributed_type == DistributedType.NO
    return alone and not settings.gradient_checkpointing


def train_soundly(
    accelerator: Accelerator,
    load: Callable[[], PreTrainedModel],
    data: dict[str, Data],
    settings: Settings,
    seeds: Callable[[int], int],
    name: str,
    resume: Resume,
) -> tuple[MultiTaskModel, Scores, dict[str, Any]]:
    """`train`, and again with the next seed where it is flagged or not finite, as often as settings.retries says.

    load: gives the encoder to start from. seeds: of an attempt, from 0. Returns the model, its scores, and what there
    is to record: `flags` by task, and `attempts`, why each one before was given up; nothing where all was well.
    """
    while True:
        attempts = resume.attempts()
        try:
            model, scores, flags = train(accelerator, load(), data, settings, seeds(len(attempts)), name, resume)
        except NotFinite as error:
            if len(attempts) >= settings.retries:
                raise
            why = str(error)
        else:
            why = "; ".join(f"{task} {flag}" for task, flag in flags.items())
            if not why or len(attempts) >= settings.retries:
                return model, scores, ({"flags": flags} if flags else {}) | ({"attempts": attempts} if attempts else {})
        accelerator.print(f"{name}: {why}; again with the next seed")
        accelerator.free_memory()
        resume.give_up(accelerator, why)


def cost(name: str, plan: list[str], data: Mapping[str, Data], settings: Settings) -> str:
    """One line that says what a training will take, before it starts."""
    tokens = sum(plan.count(task) * settings.batch_size * d.train.lengths.mean() for task, d in data.items())
    rows = ", ".join(f"{task} {len(d.train):,} rows" for task, d in data.items())
    return f"{name}: {len(plan):,} steps of {settings.batch_size} ({rows}), {tokens / 1e6:,.2f} M tokens"


class Best:
    """What the last evaluation found; or the best one, by the mean of the main scores, and its weights."""

    def __init__(self, keep: str):
        self.wanted = keep == "best"
        self.value = -math.inf
        self.weights: dict[str, torch.Tensor] = {}
        self.kept: tuple[Scores, Flags] = {}, {}

    def see(self, model: nn.Module, scores: Scores, flags: Flags) -> None:
        value = sum(next(iter(score.values())) for score in scores.values()) / len(scores)
        if not self.wanted:
            self.kept = scores, flags
        elif value > self.value:
            self.value, self.kept = value, (scores, flags)
            self.weights = {name: own(weight).detach().cpu().clone() for name, weight in model.state_dict().items()}

    def restore(self, model: nn.Module) -> tuple[Scores, Flags]:
        """Put the best weights into the model, where those are to be kept; the scores and flags of what is in it."""
        if self.wanted:
            with torch.no_grad():
                for name, weight in model.state_dict().items():
                    own(weight).copy_(self.weights[name])
        return self.kept


def own(weight: Any) -> torch.Tensor:
    """What of a weight lies in this process: a part where it is shared out (FSDP), else all of it."""
    return weight.to_local() if hasattr(weight, "to_local") else weight


@dataclass
class State:
    """What a training saves of itself beside model, optimizer and random numbers."""

    accelerator: Accelerator
    scheduler: torch.optim.lr_scheduler.LambdaLR
    best: Best
    running: torch.Tensor
    """The sum of the losses since the last that was logged, of this process."""

    def save(self, resume: Resume, step: int, seen: int) -> None:
        facts = {"step": step, "seen": seen, "scheduler": self.scheduler.state_dict()}
        facts |= {"value": self.best.value, "kept": self.best.kept}
        mine, best = {"running": self.running.cpu()}, {f"best.{name}": w for name, w in self.best.weights.items()}
        parted = self.accelerator.is_fsdp2
        resume.save(self.accelerator, facts, mine | best if parted else mine, {} if parted else best)

    def load(self, resume: Resume) -> tuple[int, int]:
        """The steps that were done, and the tokens that were seen in them."""
        facts, mine, shared = resume.load(self.accelerator)
        self.best.weights = {
            name.removeprefix("best."): weight for name, weight in (mine | shared).items() if name.startswith("best.")
        }
        self.scheduler.load_state_dict(facts["scheduler"])
        self.best.value, self.best.kept = facts["value"], tuple(facts["kept"])
        self.running.copy_(mine["running"])
        return facts["step"], facts["seen"]


def validate(
    accelerator: Accelerator, model: MultiTaskModel, data: Mapping[str, Data], settings: Settings
) -> tuple[Scores, Flags]:
    """By task: its own scores on its validation rows, the main one first; and what is wrong where something is."""
    scores, flags = {}, {}
    for task, one in data.items():
        predictions = predict(accelerator, model, task, one.kind, one.validation, one.validation_table, settings)
        scores[task] = one.kind.evaluate(predictions, one.validation_table)
        if found := flag(one.kind, predictions, one.validation_table, next(iter(scores[task].values()))):
            flags[task] = found
    return scores, flags


def predict(
    accelerator: Accelerator,
    model: MultiTaskModel,
    task: str,
    kind: Kind,
    encoded: Encoded,
    table: pa.Table,
    settings: Settings,
) -> list[Any]:
    """What the kind reads from the logits of every row of the table, on every process.

    Rows are taken PART at a time: the logits of all of them never lie in memory at once.
    """
    found: list[Any] = []
    for part, first in encoded.parts(len(table), PART):
        logits = logits_of(accelerator, model, task, part, settings)
        found += kind.decode(logits, part, table.slice(first, PART))
    return found


def logits_of(
    accelerator: Accelerator, model: MultiTaskModel, task: str, encoded: Encoded, settings: Settings
) -> list[np.ndarray]:
    """Logits of every row (its tokens x outputs, its picked tokens x outputs where it has such, or its outputs).

    In the order of the rows, on every process.
    """
    mine: list[tuple[int, np.ndarray]] = []
    lengths = encoded.lengths
    batches = token_batches(lengths, settings.prediction_tokens, level=True)
    batches += batches[-1:] * (-len(batches) % accelerator.num_processes)  # as many passes of every process (FSDP)
    with (
        predicting(accelerator, model) as forward,
        model.reading(task),
        fitting("prediction_tokens", settings),
    ):
        for rows in batches[accelerator.process_index :: accelerator.num_processes]:
            batch = encoded.tensors(rows, model.encoder.config.pad_token_id, accelerator.device)
            picked = batch.get("picked")
            logits = forward(task, batch["input_ids"], batch["attention_mask"], picked)
            values: Any = logits.float().cpu().numpy()
            if picked is not None:
                values = np.split(values, picked.sum(1).cumsum(0)[:-1].cpu().numpy())
            elif logits.dim() == 3:
                values = [value[: lengths[row]] for row, value in zip(rows, values, strict=True)]
            else:
                values = values.reshape(len(rows), -1)  # a row may hold several sequences
            mine += zip(rows.tolist(), values, strict=True)
    found = dict(gather_object(mine))
    return [found[row] for row in range(len(encoded))]
