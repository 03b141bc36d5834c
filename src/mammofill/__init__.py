"""mammofill: paint lesions into healthy breast tissue, and measure honestly whether that helps.

The rooms, in the order in which a mammogram walks through them::

    dicom -> mammograms -> patches -> pairing -> infilling -> synthesis --+
                              |                                           v
                              +------------ real patches -----------> classifier -> evaluation -> report

`phantom` makes practice mammograms, `experiment` knows the order of the stages, `cli` is the command line,
and `ground` is what every room stands on. Import what you need from its room, for example
``from mammofill.patches import PatchSet``; this module imports nothing, so that it stays instant.
"""

__version__ = "0.1.0"
