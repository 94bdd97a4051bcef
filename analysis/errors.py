"""Every exception of `analysis`.

::

    AnalysisError           exit code 2; str() is the whole message for the user
    |-- ExportError         a study has nothing to export, or it must not go where it was sent
    |-- RetrainError        a configuration cannot be trained as asked
    |-- EvaluateError       a model cannot be measured as asked
    |-- PickError           micrographs cannot be picked as asked, or one of them cannot
    `-- MeasureError        particles cannot be measured as asked
"""

from trainables.files.errors import UserError


class AnalysisError(UserError):
    """Base: a mistake or a state the user can mend; the message says what, where and how."""


class ExportError(AnalysisError):
    """There is no model to export, or the folder named is something else."""


class RetrainError(AnalysisError):
    """The configuration, the data and the folder do not belong together."""


class EvaluateError(AnalysisError):
    """There is no such model, or the data cannot be measured with it."""


class PickError(AnalysisError):
    """There are no such micrographs, or model, options and folder do not belong together."""


class MeasureError(AnalysisError):
    """A scale, a unit or a set of particles does not allow what is to be measured."""
