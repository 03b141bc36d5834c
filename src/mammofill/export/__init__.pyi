from .dicom_export import DicomExport as DicomExport
from .export_dicom import export_dicom as export_dicom
from .settings import ExportDicomSettings as ExportDicomSettings
