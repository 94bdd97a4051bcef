"""Every exception of `analysis`.

::

    AnalysisError           exit code 2; str() is the whole message for the user
    |-- ExportError         a study has nothing to export, or it must not go where it was sent
    |-- RetrainError        a configuration cannot be trained as asked
    |-- ConfirmError        a study has nothing to confirm, or its race has begun otherwise
    |-- CompareError        studies cannot be compared as asked
    |-- EvaluateError       a model cannot be measured as asked
    |-- PicturesError       what should be pictures is not
    |-- FindingError        pictures cannot be searched as asked
    |-- PickError           micrographs cannot be picked as asked, or one of them cannot
    |-- ScaleError          a pixel size cannot be told as asked
    `-- MeasureError        pictures cannot be measured as asked, or one of them cannot
"""

from trainables.files.errors import UserError


class AnalysisError(UserError):
    """Base: a mistake or a state the user can mend; the message says what, where and how."""


class ExportError(AnalysisError):
    """There is no model to export, or the folder named is something else."""


class RetrainError(AnalysisError):
    """The configuration, the data and the folder do not belong together."""


class ConfirmError(AnalysisError):
    """A study has nothing to confirm yet, or its race has begun with other rules."""


class CompareError(AnalysisError):
    """A study is named twice, or what is asked of several needs another number of them."""


class EvaluateError(AnalysisError):
    """There is no such model, or the data cannot be measured with it."""


class PicturesError(AnalysisError):
    """Files, folders or patterns that should name pictures name none, or two of one name."""


class PickError(AnalysisError):
    """There are no such micrographs, or model, options and folder do not belong together."""


class FindingError(AnalysisError):
    """Settings, models and classes do not belong together."""


class MeasureError(AnalysisError):
    """Pictures, model, options and folder of a measurement do not belong together."""


class ScaleError(AnalysisError):
    """A pixel size, its table or its options cannot be used, or a package is not installed."""
