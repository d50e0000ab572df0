"""What hyperparameters may be: types of configuration fields, checked before anything runs."""

from typing import Annotated

from annotated_types import Ge, Gt, Interval

Share = Annotated[float, Interval(ge=0, le=1)]  # of a whole: discounts, target rates, probabilities
Positive = Annotated[float, Gt(0)]  # learning rates, standard deviations
NotNegative = Annotated[float, Ge(0)]  # weights of losses
Count = Annotated[int, Ge(1)]  # widths, rows, samples
CountOrZero = Annotated[int, Ge(0)]  # where 0 switches something off
