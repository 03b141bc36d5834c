"""Phantoms: practice mammograms with known lesions, written as DICOM and tables in the layout of CBIS-DDSM.

`write_phantoms` writes a collection, `draw_mammogram` draws one view as arrays,
`draw_patient` both views of a patient, `PhantomSettings` says how; `ideal_auc` is the most that a classifier could
reach on them.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
