"""Pretraining of a tiny encoder with XLM-R's architecture on the languages of the mini world.

The word embeddings come from `word_vectors` and are frozen at first, while the layers above them learn masked and
translation language modelling (Conneau and Lample 2019, arXiv 1901.07291).
"""

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from threadpoolctl import threadpool_limits
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch.nn import functional
from tqdm import tqdm
from transformers import (
    AutoModelForMaskedLM,
    PreTrainedTokenizerFast,
    XLMRobertaConfig,
    get_linear_schedule_with_warmup,
)

from stiltwalk.miniworld.encoder.encoder_settings import EncoderSettings
from stiltwalk.miniworld.encoder.word_vectors import make_word_vectors
from stiltwalk.miniworld.generate.corpus import draw_document, language_shares, lower_case_words, vocabulary
from stiltwalk.miniworld.generate.facts import seeded_generator
from stiltwalk.miniworld.generate.language import Language, read_languages
from stiltwalk.models.checkpoint import save_encoder
from stiltwalk.models.resume import STOPPED, Resume

SPECIAL_TOKENS = ["<s>", "<pad>", "</s>", "<unk>"]  # as in XLM-R they come first, and <mask> comes last
START, PAD, END, UNKNOWN = range(4)


def build(out: Path, params: dict[str, Any], resume: Resume) -> dict[str, Any]:
    """Pretrain the encoder in all languages of the world, and save it with its tokenizer.

    out: the folder to write, which AutoModel and AutoTokenizer can load.
    params: the `encoder` section (see EncoderSettings), and the `world` section under the key `world`.
    resume: the saved state to continue from, and to save to.
    Returns the numbers of weights, words and steps, and the mean loss of the last tenth of the steps. The same seed and
    number of threads give the same bytes.
    """
    settings = EncoderSettings.from_params(params)
    torch.set_num_threads(settings.threads)
    languages = read_languages(params["world"])
    tokenizer = make_tokenizer(vocabulary(params["world"]), settings.max_length)
    word_ids = tokenizer.get_vocab()
    torch.manual_seed(settings.seed)
    model = make_model(settings, len(word_ids))
    with threadpool_limits(settings.threads):
        vectors = make_word_vectors(languages, word_ids, settings, seeded_generator(settings.seed, "index"))
    initialise_embeddings(model, vectors, settings.position)
    initialise_attention(model, settings.affinity)
    rng = seeded_generator(settings.seed, "pretrain")
    with resume:
        documents = draw_documents(languages, word_ids, settings, rng)
        loss = Pretraining(model, documents, settings, rng).run(resume)
    save_encoder(model.roberta, tokenizer, out)
    weights = sum(weight.numel() for weight in model.roberta.parameters())
    return {"weights": weights, "words": len(word_ids), "steps": settings.steps, "loss": round(loss, 4)}


def make_tokenizer(words: list[str], max_length: int) -> PreTrainedTokenizerFast:
    """Create a tokenizer that lower-cases a text and splits it into words and punctuation marks."""
    word_ids = {word: i for i, word in enumerate([*SPECIAL_TOKENS, *words, "<mask>"])}
    tokenizer = Tokenizer(models.WordLevel(word_ids, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.RobertaProcessing(
        ("</s>", END), ("<s>", START), trim_offsets=False, add_prefix_space=False
    )
    names = {"bos": "<s>", "cls": "<s>", "pad": "<pad>", "eos": "</s>", "sep": "</s>", "unk": "<unk>", "mask": "<mask>"}
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=max_length,
        model_input_names=["input_ids", "attention_mask"],
        **{f"{name}_token": token for name, token in names.items()},
    )


def make_model(settings: EncoderSettings, vocabulary_size: int) -> Any:
    """Create XLM-R's masked language model with random weights."""
    config = XLMRobertaConfig(
        vocab_size=vocabulary_size,
        hidden_size=settings.hidden_size,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        intermediate_size=settings.intermediate_size,
        max_position_embeddings=settings.max_length + PAD + 1,  # XLM-R counts positions from pad_token_id + 1
        type_vocab_size=1,
        hidden_dropout_prob=settings.dropout,
        attention_probs_dropout_prob=settings.dropout,
        pad_token_id=PAD,
        bos_token_id=START,
        eos_token_id=END,
    )
    # For such short texts the fused attention is no faster on a CPU.
    return AutoModelForMaskedLM.from_config(config, attn_implementation="eager")


def initialise_embeddings(model: Any, vectors: np.ndarray, position: float) -> None:
    """Copy word vectors (words x hidden size) into the model, and set its position embeddings to sinusoids.

    Words whose vector is zero keep their random embedding. position: the scale of the sinusoids.
    """
    known = np.flatnonzero(vectors.any(axis=1))
    with torch.no_grad():
        model.get_input_embeddings().weight[known] = torch.from_numpy(vectors[known])
        positions = model.roberta.embeddings.position_embeddings.weight
        first = PAD + 1
        positions[first:] = sinusoids(len(positions) - first, positions.shape[1]) * position


def sinusoids(length: int, size: int) -> torch.Tensor:
    """Compute sinusoidal position embeddings (length x size), in which distances are easy to read.

    Source: Vaswani et al. (2017, section 3.5), with sine and cosine interleaved.
    """
    angles = torch.arange(length)[:, None] / 10000 ** (torch.arange(0, size, 2) / size)
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)


def initialise_attention(model: Any, affinity: float) -> None:
    """Set the keys of every head equal to its queries, so that words attend to similar words.

    affinity: the scale of the query and key weights.
    Source: mimetic initialisation (Trockman and Kolter 2023, arXiv 2305.09828). Without it, so small a model does not
    learn to compare two texts in so few steps.
    """
    with torch.no_grad():
        for layer in model.roberta.encoder.layer:
            attention = layer.attention.self
            size = attention.query.weight.shape[0]
            rotation = torch.linalg.qr(torch.randn(size, size))[0]
            attention.query.weight.copy_(rotation * affinity)
            attention.key.weight.copy_(rotation * affinity)
            values = torch.linalg.qr(torch.randn(size, size))[0]
            attention.value.weight.copy_(values)
            layer.attention.output.dense.weight.copy_(values.T)


def draw_documents(
    languages: list[Language], word_ids: dict[str, int], settings: EncoderSettings, rng: np.random.Generator
) -> list[list[int]]:
    """Draw pairs of texts as token ids. The two texts of a pair overlap in meaning, and may differ in language."""
    start, shares = time.perf_counter(), language_shares(languages)
    documents = []
    for _ in tqdm(range(settings.documents), desc="documents", unit="text"):
        texts = draw_document(rng)
        first, second = rng.choice(len(languages), 2, replace=False, p=shares)
        if rng.random() >= settings.translations:
            second = first
        ids = [
            [word_ids.get(word, UNKNOWN) for word in lower_case_words(text, languages[language])]
            for text, language in zip(texts, (first, second), strict=True)
        ]
        documents.append([START, *ids[0], END, END, *ids[1], END][: settings.max_length])
    print(f"encoder: drew {len(documents):,} documents in {time.perf_counter() - start:.1f} s")
    return documents


class Pretraining:
    """Masked language modelling of documents: the model with its optimizer, and the progress of the training."""

    def __init__(
        self, model: Any, documents: list[list[int]], settings: EncoderSettings, rng: np.random.Generator
    ) -> None:
        self.documents, self.settings, self.rng = documents, settings, rng
        self.lengths = np.array([len(document) for document in documents])
        self.embeddings = model.get_input_embeddings().weight
        layers = [weight for weight in model.parameters() if weight is not self.embeddings]
        rate, steps = settings.learning_rate, settings.steps
        groups = [
            {"params": layers, "lr": rate},
            {"params": [self.embeddings], "lr": rate * settings.thaw_rate},
        ]
        optimizer = torch.optim.AdamW(groups, weight_decay=0.01, fused=True)
        self.scheduler = get_linear_schedule_with_warmup(optimizer, steps // 10, steps)
        self.accelerator = Accelerator(cpu=True, mixed_precision="no")  # only saves and loads the state
        prepared: Any = self.accelerator.prepare(model, optimizer)
        self.model, self.optimizer = prepared
        self.losses: list[float] = []  # one for each finished step
        self.batches: list[np.ndarray] = []  # the document numbers of each remaining batch of the epoch

    def run(self, resume: Resume) -> float:
        """Train until the last step, starting from the saved state if there is one.

        Returns the mean loss of the last tenth of the steps. Raises SystemExit(STOPPED) after saving the state if the
        process is asked to stop.
        """
        steps = self.settings.steps
        if resume.is_saved:
            self.load(resume)
            print(f"encoder: resuming after step {len(self.losses):,} of {steps:,}")
        self.model.train()
        start, finished = time.perf_counter(), len(self.losses)
        bar = tqdm(range(finished, steps), desc="pretraining", unit="step", initial=finished, total=steps)
        for step in bar:
            self.embeddings.requires_grad = step >= int(self.settings.thaw * steps)
            self.losses.append(self.train_step(self.next_batch()))
            if step % 10 == 0:
                bar.set_postfix_str(f"loss {np.mean(self.losses[-50:]):.3f}", refresh=False)
            if resume.due(self.accelerator):
                self.save(resume)
                if resume.stop_requested:
                    print(f"encoder: stopped; the same command resumes after step {step + 1:,}")
                    raise SystemExit(STOPPED)
        print(f"encoder: pretrained in {time.perf_counter() - start:.1f} s")
        return float(np.mean(self.losses[-max(1, steps // 10) :]))

    def next_batch(self) -> np.ndarray:
        """Return the token ids of the next batch (documents x longest length), padded with PAD.

        An epoch groups documents of similar length into batches, and shuffles the batches.
        """
        if not self.batches:
            size = self.settings.batch_size
            shuffled = self.rng.permutation(len(self.documents))[: len(self.documents) // size * size]
            by_length = shuffled[np.argsort(self.lengths[shuffled], kind="stable")].reshape(-1, size)
            self.batches = list(by_length[self.rng.permutation(len(by_length))])
        documents = [self.documents[i] for i in self.batches.pop()]
        width = max(len(document) for document in documents)
        return np.array([document + [PAD] * (width - len(document)) for document in documents])

    def train_step(self, ids: np.ndarray) -> float:
        """Update the weights on one batch of token ids, and return its loss."""
        inputs, is_masked = mask_words(ids, self.model.config.vocab_size, self.settings.mask, self.rng)
        attention_mask = torch.from_numpy((ids != PAD).astype(np.int64))
        hidden = self.model.roberta(torch.from_numpy(inputs), attention_mask=attention_mask)[0]
        masked = torch.from_numpy(is_masked)
        loss = functional.cross_entropy(self.model.lm_head(hidden[masked]), torch.from_numpy(ids)[masked])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.scheduler.step()
        self.optimizer.zero_grad()
        return loss.item()

    def save(self, resume: Resume) -> None:
        """Save all that determines the remaining steps."""
        state = {
            "step": len(self.losses),
            "losses": self.losses,
            "order": [batch.tolist() for batch in self.batches],
            "scheduler": self.scheduler.state_dict(),
            "rng": self.rng.bit_generator.state,
        }
        resume.save(self.accelerator, state, {}, {})

    def load(self, resume: Resume) -> None:
        """Load what `save` saved."""
        state, _, _ = resume.load(self.accelerator)
        self.losses = state["losses"]
        self.batches = [np.array(batch) for batch in state["order"]]
        self.scheduler.load_state_dict(state["scheduler"])
        self.rng.bit_generator.state = state["rng"]


def mask_words(
    ids: np.ndarray, vocabulary_size: int, share: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Choose a share of the words to predict: 80 % become <mask>, 10 % another word, and 10 % stay.

    Returns the inputs, and whether each of them is to be predicted; both have the shape of `ids`.
    """
    mask_id = vocabulary_size - 1
    chosen = (ids >= len(SPECIAL_TOKENS)) & (rng.random(ids.shape) < share)
    action = rng.random(ids.shape)
    inputs = np.where(chosen & (action < 0.8), mask_id, ids)
    random_words = rng.integers(len(SPECIAL_TOKENS), mask_id, ids.shape)
    return np.where(chosen & (action >= 0.9), random_words, inputs), chosen
