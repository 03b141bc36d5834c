from .collection import PhantomCollection as PhantomCollection
from .collection import write_phantoms as write_phantoms
from .draw import DrawnView as DrawnView
from .draw import draw_mammogram as draw_mammogram
from .draw import draw_patient as draw_patient
from .ideal import ideal_auc as ideal_auc
from .settings import PhantomSettings as PhantomSettings
