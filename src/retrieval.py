"""One XTREME task that nothing is tuned for (Tatoeba, BUCC): search with the final encoder as it is.

    python src/retrieval.py tatoeba

Predictions are written in XTREME's submission layout. No test label is ever read here.
"""

from stiltwalk.utils.process import prepare_stage

if __name__ == "__main__":
    prepare_stage()

import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

from accelerate.utils import gather_object
from tqdm import tqdm

from stiltwalk.models.checkpoint import load_encoder
from stiltwalk.models.resume import TRAINING_CODE, Resume
from stiltwalk.tasks.base_search import load_search
from stiltwalk.training.accelerator import make_accelerator
from stiltwalk.training.launch import launch
from stiltwalk.training.memory import out_of_memory_hint
from stiltwalk.training.settings import PredictionSettings
from stiltwalk.utils.files import atomic_dir, write_json
from stiltwalk.utils.params import read_params
from stiltwalk.utils.tables import read_table


def main(target: str) -> None:
    final, block, options = read_params("plan.final", f"plan.targets.{target}.training", f"plan.targets.{target}.task")
    settings, task = PredictionSettings.read(block, f"plan.targets.{target}.training"), load_search(options)
    data, start = Path("data/xtreme") / target, Path("models") / final / "encoder"
    tests = {path.stem.removeprefix("test-"): read_table(path) for path in sorted(data.glob("test-*.parquet"))}
    resume = Resume(target, [block, options], TRAINING_CODE, [start, data])
    with make_accelerator(settings) as accelerator:
        encoder = load_encoder(start, attention=settings.attention)
        encoder.to(accelerator.device)  # type: ignore[arg-type]
        begin = time.perf_counter()
        mine = list(tests)[accelerator.process_index :: accelerator.num_processes]  # a process takes whole languages
        answers: dict[str, list[Any]] = {}
        facts: dict[str, Any] = {"layer": task.hidden_state(encoder)}
        with out_of_memory_hint("prediction_tokens", settings):
            bar = tqdm(mine, f"{target} predictions", unit="language", disable=not accelerator.is_main_process)
            for language in bar:
                tokens = settings.prediction_tokens
                search = partial(task.search, accelerator, encoder, tests[language], data, language, tokens)
                answers[language], found = resume.compute_once(language, search)
                facts |= {language: found} if found else {}
        for other_answers, other_facts in gather_object([(answers, facts)]):
            answers, facts = answers | other_answers, facts | other_facts
        facts = {name: facts[name] for name in ("layer", *tests) if name in facts}
        seconds = time.perf_counter() - begin
        if accelerator.is_main_process:
            write_json(facts, Path("metrics/targets") / f"{target}.json")
            with atomic_dir(Path("predictions") / target) as folder:
                for language, table in tests.items():
                    task.write_predictions(answers[language], table, folder / f"test-{language}.{task.suffix}")
            resume.remove()
        accelerator.print(f"{target}: predicted {len(tests)} languages from {start} in {seconds:.1f} s")


if __name__ == "__main__":
    launch(main, *sys.argv[1:])
