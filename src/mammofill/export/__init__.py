"""Export: synthetic images, infillers and patches for other programs, marked as synthetic.

`export_dicom` writes synthetic lesions as DICOM images (`DicomExport`), `export_infiller` an infiller as a package with
a model card (`InfillerPackage`), `export_patches` synthetic patches with a dataset card (`PatchPackage`).
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
