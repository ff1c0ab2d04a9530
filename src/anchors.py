"""Print the encoder's scores without intermediate training beside published scores.

Tatoeba and BUCC are compared with XLM-R large, untrained; tuned targets with the same encoder, fine-tuned on English.

    python src/anchors.py

It reads the results of a run with order=[]; `make anchors` does the run too. The published scores are in
conf/anchors.yaml.
"""

from collections.abc import Mapping
from pathlib import Path

from stiltwalk.scoring.aggregate import mean
from stiltwalk.sweep.experiments import read_workspace
from stiltwalk.utils.errors import InputError
from stiltwalk.utils.files import read_json
from stiltwalk.utils.params import read_params, read_yaml
from stiltwalk.utils.stage import run

PUBLISHED = Path("conf/anchors.yaml")


def main() -> None:
    if read_workspace() is None:
        raise InputError("the last run did not finish, so its scores are of an earlier one; run `make anchors`")
    order, targets, encoder = read_params("order", "plan.targets", "encoder")
    if order:
        raise InputError(
            f"params.yaml: order is {order}; the published scores are of the pretrained encoder without further "
            "training; run `make anchors`"
        )
    anchors = read_yaml(PUBLISHED.read_text(encoding="utf-8"))
    name = encoder.get("path") or "of the generated world"
    print(f"encoder {name}; published for search: XLM-R large, hidden state 14 of 24, mean pooling")
    for target, published_scores in anchors["published"].items():
        if target in targets:
            print_target(target, published_scores)
    sources = anchors["zero_shot"].get(name, {})
    print_tuned({target: {source: of[target] for source, of in sources.items() if target in of} for target in targets})


def print_tuned(published: Mapping[str, Mapping[str, float]]) -> None:
    """Print a table of the tuned targets: our accuracy or F1, and the published ones by source (conf/anchors.yaml)."""
    lines = []
    for target, scores in published.items():
        if scores:
            averages = read_json(Path("metrics/scores", f"{target}.json"))["averages"]
            ours = averages["avg_f1"] if "avg_f1" in averages else averages["avg_accuracy"]
            listed = ", ".join(f"{score} ({name})" for name, score in scores.items())
            lines.append(f"{target:10}{ours:8.1f}   {listed}")
    if lines:
        print("\n".join(["", f"{'target':10}{'ours':>8}   published", *lines]))


def print_target(target: str, published_scores: dict[str, float]) -> None:
    """Print a table with one row per language; the last row has the means over the languages that both have."""
    scores, layer = read_scores(target)
    print(f"\n{target}, hidden state {layer}{' (dev)' if target == 'bucc2018' else ''}")
    print(f"{'language':10}{'ours':>8}{'published':>11}")
    for language, score in scores.items():
        print(f"{language:10}{score:8.1f}{published_scores.get(language, float('nan')):11.1f}")
    if shared := [language for language in scores if language in published_scores]:
        ours, published = (mean([table[language] for language in shared]) for table in (scores, published_scores))
        print(f"{'mean':10}{ours:8.1f}{published:11.1f}")


def read_scores(target: str) -> tuple[dict[str, float], int]:
    """Return our scores by language, and the number of the hidden state that gave them.

    BUCC's scores are those of the dev set, on which its threshold is tuned.
    """
    facts = read_json(Path("metrics/targets", f"{target}.json"))
    layer = facts.pop("layer")
    if target == "bucc2018":
        return {language: fact["dev_f1"] for language, fact in facts.items()}, layer
    scores = read_json(Path("metrics/scores", f"{target}.json"))
    return {language: metrics["accuracy"] for language, metrics in scores["languages"].items()}, layer


if __name__ == "__main__":
    run(main)
