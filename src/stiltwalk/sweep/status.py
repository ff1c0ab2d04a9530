"""How far a sweep is: a table of its tasks, and what remains."""

import time
from collections import Counter
from collections.abc import Mapping

from stiltwalk.sweep.cost import format_duration
from stiltwalk.sweep.experiments import SWEEP_FILE
from stiltwalk.sweep.graph import Task
from stiltwalk.sweep.launch import Settings, find_launcher, make_engine
from stiltwalk.sweep.progress import Place, check_repetitions, describe_steps, read_states
from stiltwalk.sweep.records import SweepRecord, TaskState, read_attempts
from stiltwalk.sweep.schedule import wall_seconds
from stiltwalk.utils.errors import InputError

ENDED = ("finished", "failed", "stopped", "lost", "blocked")


def print_status(place: Place) -> None:
    """Print the state of every task that the latest run had left, and when the sweep ends."""
    record = place.record
    settings = Settings(**record.engine_options)
    live = make_engine(place, settings).states() if settings.engine != "local" else local_states(record, place)
    states, attempts = read_states(record, place, live)
    print_table(states)
    counts = Counter(state.state for state in states.values())
    print("\n" + (", ".join(f"{n} {state}" for state, n in counts.most_common()) or "nothing was left to do"))
    print(describe_steps(attempts))
    try:
        check_repetitions(attempts)
    except InputError as error:
        print(f"warning: {error}")
    if n_running := counts["running"]:
        seconds = remaining_seconds(record, states, n_running)
        end = time.strftime("%a %H:%M", time.localtime(time.time() + seconds))
        print(f"about {format_duration(seconds)} left with {n_running} at a time: until {end}")
    elif counts["failed"] or counts["stopped"] or counts["lost"] or counts["not begun"]:
        print("the command that began the sweep resumes it")


def local_states(record: SweepRecord, place: Place) -> dict[str, str]:
    """Return what runs or waits on this machine, while a process runs the sweep."""
    if not find_launcher(place):
        return {}
    since = (place.folder / SWEEP_FILE).stat().st_mtime
    attempts = [group[-1] for group in read_attempts(place.attempts).values() if group[-1].begun > since]
    ended = {attempt.task for attempt in attempts if attempt.status is not None}
    begun = {attempt.task for attempt in attempts}
    return {name: "running" if name in begun else "waiting" for name in record.tasks if name not in ended}


def print_table(states: Mapping[str, TaskState]) -> None:
    """Print task, state, machine, time and, of a failure, the last line."""
    rows = [("task", "state", "machine", "time", "")]
    for name, one in states.items():
        duration = (
            (f"{one.seconds:.0f} s" if one.seconds < 120 else format_duration(one.seconds)) if one.machine else ""
        )
        rows.append((name, one.state, one.machine, duration, one.last_line if one.state in ("failed", "lost") else ""))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print(
            "  ".join(cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=False))
            + f"  {row[-1]}".rstrip()
        )


def remaining_seconds(record: SweepRecord, states: Mapping[str, TaskState], machines: int) -> float:
    """Return how long the unfinished tasks take, with so many machines; a running one takes what is left of it."""
    left = [name for name, one in states.items() if one.state not in ENDED]
    tasks = [Task(name, tuple(one for one in record.tasks[name].after if one in left), ()) for name in left]
    seconds = {
        name: max(0.0, record.tasks[name].seconds - (states[name].seconds if states[name].state == "running" else 0))
        for name in left
    }
    return wall_seconds(tasks, seconds, machines)
