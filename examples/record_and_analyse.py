"""Record a video's readings to a table and look at them with pandas: `python examples/record_and_analyse.py talk.mp4 talk.csv`.

Prints, for every face, how much of its time each expression took, how often the expression changed, and what the cues were on
average while it lasted. Needs the `examples` extra.
"""

import sys
from pathlib import Path

import pandas as pd

from edge import EdgeError, Pipeline
from edge.outputs import CsvSink


def record(video: Path, table: Path) -> None:
    """Write one row a face and frame; explanations only where the label changes, which is much faster."""
    with Pipeline.load() as pipeline:
        config = pipeline.bundle.config
        with CsvSink(table, config.labels, [cue.name for cue in config.cues]) as sink:
            for reading in pipeline.stream(video, explain="change"):
                sink.write(reading)


def analyse(table: Path) -> dict[str, pd.DataFrame]:
    """Read the table back: shares of time, changes of label, and mean cues, by face and label."""
    rows = pd.read_csv(table)
    faces = rows.dropna(subset=["track"]).astype({"track": int})
    shares = faces.groupby("track")["emotion"].value_counts(normalize=True).unstack(fill_value=0.0)
    changes = faces.groupby("track")["emotion"].agg(lambda labels: int((labels != labels.shift()).sum()) - 1).to_frame("changes")
    cues = faces.groupby(["track", "emotion"])[[name for name in faces if name.startswith("cue_")]].mean()
    return {"share of time": shares, "changes of label": changes, "mean cues": cues.round(2).T}


if __name__ == "__main__":
    try:
        record(Path(sys.argv[1]), Path(sys.argv[2]))
    except EdgeError as error:
        sys.exit(f"{error}")
    for title, frame in analyse(Path(sys.argv[2])).items():
        print(f"\n{title}\n{frame.to_string()}")
