"""A tiny encoder of XLM-R's architecture, pretrained here on the languages of the mini world.

Word embeddings come from cross-language latent semantic indexing (Dumais et al. 1997): the truncated singular value
decomposition of which word occurs in which fact, facts being told in several languages. At first they stay as they are
while the layers above learn masked and translation language modelling (Conneau and Lample 2019, arXiv 1901.07291).
"""

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from scipy import sparse
from sklearn.decomposition import TruncatedSVD
from sklearn.preprocessing import normalize
from threadpoolctl import threadpool_limits
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch.nn import functional
from tqdm import tqdm
from transformers import (
    PreTrainedTokenizerFast,
    XLMRobertaConfig,
    XLMRobertaForMaskedLM,
    get_linear_schedule_with_warmup,
)

from stiltwalk.miniworld.corpus import draw_document, draw_plan, read_languages, vocabulary, words
from stiltwalk.miniworld.facts import generator
from stiltwalk.miniworld.language import Language
from stiltwalk.models.checkpoint import save_encoder
from stiltwalk.models.resume import ENDED, Resume
from stiltwalk.tasks.tables import IGNORED

SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]  # their ids are XLM-R's; <mask> is the last of the vocabulary, as there
START, PAD, END, UNKNOWN = range(4)


def build(out: Path, params: dict[str, Any], resume: Resume) -> dict[str, Any]:
    """Pretrain the encoder of the `encoder` section in the languages of `params["world"]`; save it with its tokenizer.

    `out` can then be loaded with AutoModel and AutoTokenizer. Returns its numbers of weights, words and steps, and the
    mean loss of the last tenth of the steps. The same `seed` and number of threads (`threads`) give the same bytes.
    """
    torch.set_num_threads(params["threads"])
    languages = read_languages(params["world"])
    tokenizer = make_tokenizer(vocabulary(params["world"]), params["max_length"])
    vocab = tokenizer.get_vocab()
    seed = params["seed"]
    torch.manual_seed(seed)
    config = XLMRobertaConfig(
        vocab_size=len(vocab),
        hidden_size=params["hidden_size"],
        num_hidden_layers=params["layers"],
        num_attention_heads=params["heads"],
        intermediate_size=params["intermediate_size"],
        max_position_embeddings=params["max_length"] + 2,  # XLM-R counts positions from pad_token_id + 1
        type_vocab_size=1,
        hidden_dropout_prob=params["dropout"],
        attention_probs_dropout_prob=params["dropout"],
        pad_token_id=PAD,
        bos_token_id=START,
        eos_token_id=END,
    )
    # Plain attention: the fused one is no faster on a CPU for texts as short as these.
    model: Any = XLMRobertaForMaskedLM._from_config(config, attn_implementation="eager")
    embeddings = model.get_input_embeddings().weight
    with threadpool_limits(params["threads"]):
        rows = index_words(languages, vocab, params, generator(seed, "index"))
    known = np.flatnonzero(rows.any(axis=1))
    with torch.no_grad():
        embeddings[known] = torch.from_numpy(rows[known])
        positions = model.roberta.embeddings.position_embeddings.weight
        positions[2:] = sinusoids(len(positions) - 2, params["hidden_size"]) * params["position"]
    prefer_like_words(model, params["affinity"])
    with resume:
        loss = pretrain(model, languages, vocab, params, generator(seed, "pretrain"), resume)
    save_encoder(model.roberta, tokenizer, out)
    weights = sum(weight.numel() for weight in model.roberta.parameters())
    return {"weights": weights, "words": len(vocab), "steps": params["steps"], "loss": round(loss, 4)}


def make_tokenizer(words: list[str], max_length: int) -> PreTrainedTokenizerFast:
    """A tokenizer of whole words, in lower case, punctuation marks apart, with XLM-R's special tokens."""
    vocab = {word: i for i, word in enumerate([*SPECIAL, *words, "<mask>"])}
    tokenizer = Tokenizer(models.WordLevel(vocab, unk_token="<unk>"))
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


def index_words(
    languages: list[Language], vocab: dict[str, int], params: dict[str, Any], rng: np.random.Generator
) -> np.ndarray:
    """Embeddings (words x hidden size, float32) of unit length: zero for the words that never occurred."""
    shares = np.array([language.resource for language in languages])
    found: list[tuple[int, int]] = []
    told = np.zeros((len(vocab), len(languages)), np.float32)
    for number in range(params["facts"]):
        plan = draw_plan(rng)
        for language in rng.choice(len(languages), params["tellings"], replace=False, p=shares / shares.sum()):
            rows = [vocab[word] for word in words([plan], languages[language])]
            found += [(row, number) for row in rows]
            told[rows, language] += 1
    row, column = np.unique(np.array(found), axis=0).T
    occurs = sparse.csr_matrix((np.ones(len(row), np.float32), (row, column)), (len(vocab), params["facts"]))
    rarity = np.log(params["facts"] / np.maximum(1, np.bincount(row, minlength=len(vocab))))
    svd = TruncatedSVD(params["components"], random_state=int(rng.integers(2**31)))
    meanings = normalize(svd.fit_transform(sparse.diags(rarity) @ occurs))
    # The other dimensions tell the languages apart; a word that all share has next to nothing there.
    tongue = rng.normal(size=(len(languages), params["hidden_size"] - params["components"]))
    tongue = normalize(tongue - tongue.mean(axis=0))
    accents = normalize(told, norm="l1") @ tongue * params["accent"]
    return np.hstack([meanings, accents]).astype(np.float32)


def encode_documents(
    languages: list[Language], vocab: dict[str, int], params: dict[str, Any], rng: np.random.Generator
) -> list[list[int]]:
    """Pairs of texts as ids: the second says part of the first again, in its language or in another one."""
    shares = np.array([language.resource for language in languages])
    texts = []
    for _ in tqdm(range(params["documents"]), desc="documents", unit="text"):
        first, second = draw_document(rng)
        one, other = rng.choice(len(languages), 2, replace=False, p=shares / shares.sum())
        pair = [(first, one), (second, other if rng.random() < params["translations"] else one)]
        ids = [[vocab.get(word, UNKNOWN) for word in words(plans, languages[i])] for plans, i in pair]
        texts.append([START, *ids[0], END, END, *ids[1], END][: params["max_length"]])
    return texts


def pretrain(
    model: Any,
    languages: list[Language],
    vocab: dict[str, int],
    params: dict[str, Any],
    rng: np.random.Generator,
    resume: Resume,
) -> float:
    """Masked language modelling; from the share `thaw` of the steps on the embeddings learn too, at their own rate.

    Returns the mean loss of the last tenth of the steps. It goes on from a saved state, and saves its own.
    """
    texts = encode_documents(languages, vocab, params, rng)
    steps, size = params["steps"], params["batch_size"]
    embeddings = model.get_input_embeddings().weight
    layers = [weight for weight in model.parameters() if weight is not embeddings]
    rate = params["learning_rate"]
    groups = [{"params": layers, "lr": rate}, {"params": [embeddings], "lr": rate * params["thaw_rate"]}]
    optimizer: Any = torch.optim.AdamW(groups, weight_decay=0.01, fused=True)
    scheduler = get_linear_schedule_with_warmup(optimizer, steps // 10, steps)
    accelerator = Accelerator(cpu=True, mixed_precision="no")  # for the state that it saves: the loop is plain torch
    model, optimizer = accelerator.prepare(model, optimizer)
    losses: list[float] = []
    lengths = np.array([len(text) for text in texts])
    order: list[np.ndarray] = []
    done = 0
    if resume.found:
        facts, _, _ = resume.load(accelerator)
        done, losses, order = facts["step"], facts["losses"], [np.array(batch) for batch in facts["order"]]
        scheduler.load_state_dict(facts["scheduler"])
        rng.bit_generator.state = facts["rng"]
        print(f"encoder: goes on after step {done:,} of {steps:,}")
    model.train()
    start = time.perf_counter()
    bar = tqdm(range(done, steps), desc="pretraining", unit="step", initial=done, total=steps)
    for step in bar:
        embeddings.requires_grad = step >= int(params["thaw"] * steps)
        if not order:  # texts of like length share a batch
            shuffled = rng.permutation(len(texts))[: len(texts) // size * size]
            batches = shuffled[np.argsort(lengths[shuffled], kind="stable")].reshape(-1, size)
            order = list(batches[rng.permutation(len(batches))])
        chosen = order.pop()
        width = max(len(texts[i]) for i in chosen)
        ids = np.array([texts[i] + [PAD] * (width - len(texts[i])) for i in chosen])
        inputs, labels = mask_words(ids, len(vocab), params["mask"], rng)
        hidden = model.roberta(
            torch.from_numpy(inputs), attention_mask=torch.from_numpy((ids != PAD).astype(np.int64))
        )[0]
        asked = torch.from_numpy(labels != IGNORED)
        loss = functional.cross_entropy(model.lm_head(hidden[asked]), torch.from_numpy(labels)[asked])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        if step % 10 == 0:
            bar.set_postfix_str(f"loss {np.mean(losses[-50:]):.3f}", refresh=False)
        if resume.due(accelerator):
            facts = {"step": step + 1, "losses": losses, "order": [batch.tolist() for batch in order]}
            facts |= {"scheduler": scheduler.state_dict(), "rng": rng.bit_generator.state}
            resume.save(accelerator, facts, {}, {})
            if resume.told:
                print(f"encoder: told to end; the same command goes on after step {step + 1:,}")
                raise SystemExit(ENDED)
    print(f"encoder: pretrained in {time.perf_counter() - start:.1f} s")
    return float(np.mean(losses[-max(1, steps // 10) :]))


def prefer_like_words(model: Any, affinity: float) -> None:
    """Start every head with keys equal to its queries, so that words attend to words like themselves.

    Mimetic initialisation (Trockman and Kolter 2023, arXiv 2305.09828): so small a model would not find out in so few
    steps that it pays to compare the two texts.
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


def sinusoids(length: int, size: int) -> torch.Tensor:
    """Positions (length x size) as Vaswani et al. (2017, section 3.5) encode them: distances are easy to read there."""
    angles = torch.arange(length)[:, None] / 10000 ** (torch.arange(0, size, 2) / size)
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)


def mask_words(ids: np.ndarray, words: int, share: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Inputs with a share of the words hidden (80 % masked, 10 % another word, 10 % left) and the labels of those."""
    hidden = (ids >= len(SPECIAL)) & (rng.random(ids.shape) < share)
    how = rng.random(ids.shape)
    inputs = np.where(hidden & (how < 0.8), words - 1, ids)
    inputs = np.where(hidden & (how >= 0.9), rng.integers(len(SPECIAL), words - 1, ids.shape), inputs)
    return inputs, np.where(hidden, ids, IGNORED)
