from .attention import attention_of_arms as attention_of_arms
from .compare import compare_arms as compare_arms
from .comparison import Comparison as Comparison
from .settings import CompareArmsSettings as CompareArmsSettings
