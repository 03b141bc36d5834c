"""What the training loops of infillers and classifiers share. There is no trainer class: each loop is written out.

`settings` (how the machine computes, when to stop early; no torch), `device`, `data_order`, `checkpoint`, `history`,
`ema`, `early_stopping`, `distributed` (several processes), `cpu_threads`, `memory`, `tensorboard`.
"""
