"""The embedded models: an LLM of a few million parameters and a text encoder, small enough to ship in the package.

They exist so that the whole harness can be tried, taught and tested on a laptop without a download.
`train_llm` and `train_encoder` made them from LaMP-mini text of users that no benchmark run ever sees;
`README.md` beside them records commands, times and held-out scores. Numbers measured with them say nothing
about any other model.
"""

from pathlib import Path

FOLDER = Path(__file__).resolve().parent
LLM_FOLDER = FOLDER / "mini-t5"
ENCODER_FOLDER = FOLDER / "mini-bert"
