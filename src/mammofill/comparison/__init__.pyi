from .attention import attention_of_arms as attention_of_arms
from .compare import compare_arms as compare_arms
from .comparison import Comparison as Comparison
from .settings import CompareArmsSettings as CompareArmsSettings
from .subgroups import lesion_properties as lesion_properties
from .subgroups import subgroups_of_arms as subgroups_of_arms
