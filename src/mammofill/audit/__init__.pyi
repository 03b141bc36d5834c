from .audit import Audit as Audit
from .audit import audit as audit
from .findings import Case as Case
from .findings import Finding as Finding
from .settings import AuditSettings as AuditSettings
from .summary import summarise as summarise
from .write import write_audit as write_audit
