from .paper import PAPER_TABLE as PAPER_TABLE
from .report import Report as Report
from .settings import WriteReportSettings as WriteReportSettings
from .tables import format_table as format_table
from .write import write_report as write_report
