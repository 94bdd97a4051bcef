"""What is asked of a cluster besides studies and measurements: a training, a race."""

from tune.best.configuration import BestConfig
from tune.spec import Spec
from tune.study.study import DataPlace


class RetrainAsked(Spec):
    """A training that is asked of a cluster.

    Attributes:
        best: Configuration to train; None for that of a study there.
        study: Directory of that study on the cluster; "" beside a configuration.
        data: Data set to train on; None for the one it was tuned on.
        out: Folder for the result, that every node sees; or gs://BUCKET/FOLDER.
        epochs: Length of the training; None for the study's.
        seed: Seed of the training; None for the trial's.
        seeds: Number of seeds of an ensemble; None for one training.
        replay: Whether the very trial is trained again.
        other_classes: Whether the data may have other classes.
    """

    best: BestConfig | None = None
    study: str = ""
    data: DataPlace | None = None
    out: str
    epochs: int | None = None
    seed: int | None = None
    seeds: int | None = None
    replay: bool = False
    other_classes: bool = False


class ConfirmAsked(Spec):
    """A race that is asked of a cluster.

    Attributes:
        study: Directory on the cluster of the study whose best are confirmed.
        top: Number of its best that race; None for the default.
        trainings: Number of trainings that the race may take; None for the default.
        concurrent: Number of trainings at once; None for the study's.
        resplit: Whether training and validation part are drawn anew.
    """

    study: str
    top: int | None = None
    trainings: int | None = None
    concurrent: int | None = None
    resplit: bool = False
