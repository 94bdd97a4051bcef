"""Every exception of `analysis`.

::

    AnalysisError           exit code 2; str() is the whole message for the user
    |-- ExportError         a study has nothing to export, or it must not go where it was sent
    |-- RetrainError        a configuration cannot be trained as asked
    |-- EvaluateError       a model cannot be measured as asked
    |-- MicrographsError    there are no such pictures, or two would be written to one name
    |-- PickError           micrographs cannot be picked as asked, or one of them cannot
    `-- ScaleError          a pixel size cannot be told as asked
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


class MicrographsError(AnalysisError):
    """There are no such pictures, or what is written of two of them would have one name."""


class ScaleError(AnalysisError):
    """A pixel size, its table or its options cannot be used, or a package is not installed."""
