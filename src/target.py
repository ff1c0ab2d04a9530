"""One XTREME task, or two with the same rows to tune on: tune the final encoder on English, predict every language.

    python src/target.py xnli

Retrieval is not tuned. Predictions lie in XTREME's submission layout. No test label is ever read here.
"""

import json
import sys
import time
from contextlib import nullcontext
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from accelerate.utils import gather_object
from tqdm import tqdm

from stiltwalk.models.checkpoint import load_encoder
from stiltwalk.models.resume import Resume
from stiltwalk.tasks.tables import read_table
from stiltwalk.training.batching import Encoded
from stiltwalk.training.launch import launch
from stiltwalk.training.memory import fitting
from stiltwalk.training.settings import Settings
from stiltwalk.training.trainer import CODE, Data, accelerating, predict, recording, seed_of, train_soundly, validate
from stiltwalk.utils.stage import read_params, whole_folder, write_json


def main(key: str) -> None:
    seed, final, targets = read_params("seed", "final", f"tunings.{key}.targets")
    name, block = read_params(f"benchmark.{key}.tuned_as", f"benchmark.{key}.training")
    options = read_params(f"benchmark.{key}.task")
    settings, kind_name = Settings.read(block, f"benchmark.{key}.training"), options["kind"]
    load = partial(load_encoder, Path(final), settings.dropout, settings.attention)
    module = import_module(f"kinds.{kind_name}")
    rows, encoded = (
        {target: Path(folder) / target for target in targets} for folder in ("data/xtreme", "data/encoded/xtreme")
    )
    labels = json.loads((encoded[key] / "labels.json").read_text(encoding="utf-8"))
    kind = module.Kind(options | {"labels": labels})
    tests = {
        (target, path.stem.removeprefix("test-")): read_table(path, kind_name, gold=False)
        for target, folder in rows.items()
        for path in sorted(folder.glob("test-*.parquet"))
    }

    frozen = hasattr(kind, "predict")  # it reads the encoder as it is
    resume = Resume(key, [seed, name, block, options], CODE, [Path(final), *rows.values(), *encoded.values()])
    curves = nullcontext() if frozen else recording(Path("metrics/curves") / key, resume)
    with curves as live, accelerating(settings, live=live) as accelerator:
        if frozen:
            encoder = load()
            encoder.to(accelerator.device)  # type: ignore[arg-type]
            facts: dict[str, dict[str, Any]] = {key: {"layer": kind.embedder.layer(encoder)}}
        else:
            data = {target: data_of(kind, kind_name, rows[target], encoded[target]) for target in rows}
            seeds = partial(seed_of, seed, name)
            model, scores, wrong = train_soundly(accelerator, load, {key: data[key]}, settings, seeds, key, resume)
            facts = {key: scores | wrong}
            for target in targets[1:]:
                scores, flags = validate(accelerator, model, {key: data[target]}, settings)
                facts[target] = {target: scores[key]} | ({"flags": {target: flags[key]}} if flags else {})

        start = time.perf_counter()
        found: dict[tuple[str, str], list[Any]] = {}
        mine = list(tests)
        if frozen:  # one process computes a language alone
            mine = mine[accelerator.process_index :: accelerator.num_processes]
        bar = tqdm(mine, f"{key} predictions", unit="language", disable=not accelerator.is_main_process)
        with fitting("prediction_tokens", settings):
            for target, language in bar:
                test = tests[target, language]
                if frozen:
                    own = partial(kind.predict, accelerator, encoder, test, rows[key], encoded[key], language)
                    found[target, language], more = resume.once(language, partial(own, settings.prediction_tokens))
                    facts[key] |= {language: more} if more else {}
                else:
                    numbers = Encoded.read(encoded[target] / f"test-{language}.arrow")
                    found[target, language] = predict(accelerator, model, key, kind, numbers, test, settings)
        if frozen:
            for others, more in gather_object([(found, facts[key])]):
                found, facts[key] = found | others, facts[key] | more
            in_order = ("layer", *(language for _, language in tests))
            facts[key] = {name: facts[key][name] for name in in_order if name in facts[key]}
        seconds = time.perf_counter() - start
        if accelerator.is_main_process:
            for target in rows:
                write_json(facts[target], Path("metrics/targets") / f"{target}.json")
                with whole_folder(Path("predictions") / target) as folder:
                    for of, language in tests:
                        if of == target:
                            path = folder / f"test-{language}.{module.SUFFIX}"
                            kind.write(found[target, language], tests[target, language], path)
            resume.remove()
        names = " and ".join(rows)
        accelerator.print(f"{names}: predicted {len(tests)} languages from {final} in {seconds:.1f} s")


def data_of(kind: Any, kind_name: str, rows: Path, encoded: Path) -> Data:
    """What a target is tuned and validated on."""
    train, validation = (Encoded.read(encoded / f"{split}.arrow") for split in ("train", "validation"))
    return Data(kind, train, read_table(rows / "validation.parquet", kind_name), validation)


if __name__ == "__main__":
    launch(main, *sys.argv[1:])
