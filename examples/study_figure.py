"""From a folder of recordings to a figure: `python examples/study_figure.py recordings/ results/ figure.png`.

The cells (`# %%`) run one after the other in any editor that knows notebooks. Recordings are read once: started again, the script goes on
from their tables. Needs the `examples` extra.
"""

# %% What to read
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

from edge import EdgeError, tables
from edge.batch.command import main as edge_batch

plt.switch_backend("Agg")  # a file, no window
recordings, results, figure = map(Path, sys.argv[1:4])
CUE, BINS = "cue_lip_corners", 20

# %% One table a recording; what is done is not done again
code = edge_batch([str(recordings), "--out", str(results), "--workers", "0"])
if code not in (0, 4) or not (results / "summary.csv").is_file():  # 4: something could not be read, or nothing; it has said what
    sys.exit(code)
summary = pd.read_csv(results / "summary.csv")
done = summary[(summary["status"] == "done") & (summary["kind"] == "recording")].set_index("name")
if done.empty:
    sys.exit("no recording could be read: see the reasons above")

# %% How much of the time in which the face could be read each expression took: people, not frames, are what is counted
shares = done.filter(regex="^share_").rename(columns=lambda name: name.removeprefix("share_")).dropna(how="all")
for name in done.index.difference(shares.index):
    print(f"left out {name}: no face could be read in it")
done = done.loc[shares.index]
if done.empty:
    sys.exit("no face could be read in any of the recordings")
print(shares.assign(read=done["person_read"]).round(2).to_string())


# %% The course of one cue: of clear frames in which it was in sight, in twentieths of each recording's length
def course(name: str) -> pd.Series:
    """Mean deviations by the share of the time that has passed; NaN where nothing was seen."""
    frames = tables.read(results / "tables" / f"{name}.csv")
    frames = frames[frames["person"] == done.loc[name, "person_track"]]  # who was in most of its frames, as in the summary
    seen = (frames["unclear"] == "") & ~frames["hidden"].str.split().apply(lambda cues: CUE.removeprefix("cue_") in cues)
    passed = (frames["t_s"] - frames["t_s"].min()) / max(frames["t_s"].max() - frames["t_s"].min(), 1e-9)
    bins = pd.cut(passed, BINS, labels=[(i + 0.5) / BINS for i in range(BINS)])
    return frames[CUE].where(seen).groupby(bins, observed=False).mean()


try:
    courses = pd.DataFrame({name: course(name) for name in done.index})
except EdgeError as error:
    sys.exit(str(error))

# %% The figure
canvas, (left, right) = plt.subplots(1, 2, figsize=(12, 1.8 + 0.45 * max(4, len(done))), width_ratios=(3, 2), layout="constrained")
shares.loc[:, shares.max() > 0.005].plot.barh(stacked=True, ax=left, width=0.75, colormap="Set2", legend=False)
left.set(xlabel="share of the time that could be read", ylabel="", xlim=(0, 1))
left.invert_yaxis()
left.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4, frameon=False)
courses.set_axis(courses.index.astype(float)).plot(ax=right, colormap="Dark2", legend=len(done) <= 8, marker="o", markersize=3, xlim=(0, 1))
right.axhline(0, color="0.7", linewidth=0.8)
right.set(xlabel="share of the recording", ylabel="lip corners, deviations from neutral")
for axes in (left, right):
    axes.spines[["top", "right"]].set_visible(False)
canvas.savefig(figure, dpi=150)
print(f"{figure}: {len(done)} recordings")
