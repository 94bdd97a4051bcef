"""Mistakes in study files, with what the message must say of each."""

from dataclasses import dataclass, field
from typing import Any

YOLO = {"trainable": "yolo_seg"}


@dataclass(frozen=True)
class Mistake:
    """One mistake.

    Attributes:
        name: Of the test.
        key: That the message must name; "" for the file itself.
        says: Fragments of the message.
        changes: Top-level keys to put in place; None drops one.
        sets: Overrides, as after --set.
        text: The whole file, in place of a changed study.
        data: Keys to put in place in the data set's manifest; None for no data set at all.
    """

    name: str
    key: str
    says: list[str]
    changes: dict[str, Any] = field(default_factory=dict)
    sets: tuple[str, ...] = ()
    text: str = ""
    data: dict[str, Any] | None = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name


TEXTS = [
    Mistake("empty file", "", ["expected a study", "got an empty file"], text="\n"),
    Mistake("list", "", ["expected a study (a mapping", "got a list"], text="- study: x\n"),
    Mistake(
        "unclosed bracket",
        "",
        ["line 2, column 1", "expected YAML"],
        text="budget: {trials: 3, epochs: 4\n",
    ),
    Mistake("tab", "", ["line 2, column 1", "expected YAML"], text="study: x\n\tdata: y\n"),
    Mistake("two studies", "", ["line 2", "single document"], text="a: 1\n---\nb: 1\n"),
    Mistake(
        "a key twice",
        "seed",
        ["expected every key once", "line 6, first line 5"],
        text="study: x\ndata: data\ntrainable: simulated\n"
        "budget: {trials: 3, epochs: 4}\nseed: 1\nseed: 2\n",
    ),
]


SHAPES = [
    Mistake(
        "unknown key",
        "search_spaces",
        ["value 'smoke'", "expected one of study, data", "did you mean search_space?"],
        {"search_spaces": "smoke"},
    ),
    Mistake(
        "unknown key below",
        "budget.trails",
        ["value 8", "expected one of trials, epochs, hours", "did you mean trials?"],
        {"budget": {"trials": 3, "epochs": 10, "trails": 8}},
    ),
    Mistake("no budget", "budget", ["required", "a mapping with trials"], {"budget": None}),
    Mistake(
        "no epochs",
        "budget.epochs",
        ["required", "a whole number above 0"],
        {"budget": {"trials": 3}},
    ),
    Mistake(
        "zero trials",
        "budget.trials",
        ["expected a whole number above 0, got 0; the nearest is 1"],
        {"budget": {"trials": 0, "epochs": 10}},
    ),
    Mistake(
        "half an epoch",
        "budget.epochs",
        ["expected a whole number above 0, got 10.5; the nearest is 10"],
        {"budget": {"trials": 3, "epochs": 10.5}},
    ),
    Mistake(
        "number in quotes",
        "budget.trials",
        ["expected a whole number above 0, got '8'; the nearest is 8"],
        {"budget": {"trials": "8", "epochs": 10}},
    ),
    Mistake(
        "true for a number",
        "seed",
        ["expected a whole number of at least 0, got True"],
        {"seed": True},
    ),
    Mistake("negative seed", "seed", ["got -1; the nearest is 0"], {"seed": -1}),
    Mistake(
        "negative hours",
        "budget.hours",
        ["expected a number above 0", "got -2"],
        {"budget": {"trials": 3, "epochs": 10, "hours": -2}},
    ),
    Mistake(
        "a number too large for any float",
        "search_space.epoch_seconds",
        ["expected uniform: [low, high] with 2 numbers"],
        {"search_space": {"epoch_seconds": {"uniform": [0, 10**400]}}},
    ),
    Mistake(
        "list for a mapping",
        "budget",
        ["expected a mapping with", "got [3, 4]"],
        {"budget": [3, 4]},
    ),
    Mistake(
        "unknown search",
        "search",
        ["expected one of tpe, random, grid, race, got 'tpee'; did you mean tpe?"],
        {"search": "tpee"},
    ),
    Mistake(
        "number as a name",
        "study",
        ["expected a text, got 2024"],
        {"study": 2024},
    ),
    Mistake(
        "name leaves the folder",
        "study",
        ["expected a folder name", "got '../evil'; the nearest is evil"],
        {"study": "../evil"},
    ),
    Mistake(
        "name with a slash",
        "study",
        ["got 'my study/1'; the nearest is my-study-1"],
        {"study": "my study/1"},
    ),
    Mistake("hidden name", "study", ["got '.hidden'; the nearest is hidden"], {"study": ".hidden"}),
    Mistake("endless name", "study", ["1 to 100 letters", "the nearest is"], {"study": "x" * 101}),
    Mistake(
        "bucket as storage",
        "storage",
        ["expected a local folder, got 'gs://bucket/x'"],
        {"storage": "gs://bucket/x"},
    ),
    Mistake(
        "a folder that no file system has",
        "storage",
        ["expected a local folder, got", "x00"],
        {"storage": "results\0"},
    ),
    Mistake(
        "the home of nobody",
        "data",
        ["~nobody-of-this-name/data"],
        {"data": "~nobody-of-this-name/data"},
    ),
    Mistake(
        "file as storage",
        "storage",
        ["expected a folder to write", "study.yaml is a file"],
        {"storage": "study.yaml"},
    ),
]


ENGINES = [
    Mistake(
        "unknown engine",
        "trainable",
        ["expected one of ", "got 'yolo_sgg'; did you mean yolo_seg?"],
        {"trainable": "yolo_sgg"},
    ),
    Mistake(
        "unknown preset",
        "search_space",
        ["yolo_seg, yolo_seg_script, smoke", "got 'yolo_seg_scrpt'; did you mean yolo_seg_script?"],
        {**YOLO, "search_space": "yolo_seg_scrpt"},
    ),
    Mistake(
        "another engine's preset",
        "search_space.preset",
        ["expected a preset of simulated (simulated, smoke), got 'yolo_seg'"],
        {"search_space": {"preset": "yolo_seg"}},
    ),
    Mistake(
        "unknown hyperparameter",
        "search_space.learning_rate",
        ["expected a hyperparameter of yolo_seg", "got learning_rate = 0.1"],
        {**YOLO, "search_space": {"preset": "yolo_seg", "learning_rate": 0.1}},
    ),
    Mistake(
        "another engine's hyperparameters",
        "trainable",
        [
            "expected hyperparameters of yolo_seg, got ims_per_batch, anchor_px, which are "
            "those of mask_rcnn; did you mean `trainable: mask_rcnn`?"
        ],
        {**YOLO, "fixed": {"ims_per_batch": 2, "anchor_px": 16}},
    ),
    Mistake(
        "mistyped hyperparameter",
        "search_space.momentun",
        ["did you mean momentum?"],
        {**YOLO, "search_space": {"momentun": {"uniform": [0.6, 0.9]}}},
    ),
    Mistake(
        "unknown kind of domain",
        "search_space.lr0",
        ["expected one of uniform, loguniform", "got log_uniform; did you mean loguniform?"],
        {"search_space": {"lr0": {"log_uniform": [1e-5, 0.1]}}},
    ),
    Mistake(
        "ends swapped",
        "search_space.lr0",
        ["low < high, got [0.1, 1e-05]; did you mean [1e-05, 0.1]?"],
        {"search_space": {"lr0": {"loguniform": [0.1, 1e-5]}}},
    ),
    Mistake(
        "logarithm of zero",
        "search_space.lr0",
        ["low > 0, got [0, 0.1]"],
        {"search_space": {"lr0": {"loguniform": [0, 0.1]}}},
    ),
    Mistake(
        "range of one",
        "search_space.momentum",
        ["[low, high] with 2 numbers, got [0.6]"],
        {"search_space": {"momentum": {"uniform": [0.6]}}},
    ),
    Mistake(
        "range beyond what is valid",
        "search_space.momentum",
        ["expected a number of at least 0 and below 1, got 1.5", "0.5 to 1.5"],
        {"search_space": {"momentum": {"uniform": [0.5, 1.5]}}},
    ),
    Mistake(
        "fractions of a batch",
        "search_space.batch",
        ["expected a whole number from 1 to 1024, got"],
        {"search_space": {"batch": {"uniform": [2, 64]}}},
    ),
    Mistake(
        "image size off the stride",
        "search_space.imgsz",
        ["in multiples of 32, got 650; the nearest is 640"],
        {**YOLO, "search_space": {"imgsz": {"choice": [640, 650]}, "lr0": {"fixed": 0.1}}},
    ),
    Mistake(
        "unknown optimizer",
        "search_space.optimizer",
        ["expected one of AdamW, SGD, got 'AdamX'", "did you mean AdamW?"],
        {"search_space": {"optimizer": {"choice": ["AdamX", "SGD"]}}},
    ),
    Mistake(
        "condition on nothing",
        "search_space.momentum.when",
        ["optimiser is not in the search space; did you mean optimizer?"],
        {
            "search_space": {
                "optimizer": {"choice": ["AdamW", "SGD"]},
                "momentum": {"uniform": [0.6, 0.9], "when": {"optimiser": "SGD"}},
            }
        },
    ),
    Mistake(
        "condition that never holds",
        "search_space.momentum.when.optimizer",
        ["expected one of AdamW, SGD, got 'sgd'"],
        {
            "search_space": {
                "optimizer": {"choice": ["AdamW", "SGD"]},
                "momentum": {"uniform": [0.6, 0.9], "when": {"optimizer": "sgd"}},
            }
        },
    ),
    Mistake(
        "nothing searched",
        "search_space",
        ["expected at least one searched key for budget.trials = 8, got none"],
        {"search_space": {"lr0": {"fixed": 0.1}}},
    ),
    Mistake(
        "fixed value out of range",
        "fixed.lr0",
        ["expected a number above 0 and of at most 1, got 3; the nearest is 1"],
        {"fixed": {"lr0": 3}, "search_space": {"batch": {"choice": [2, 4]}}},
    ),
    Mistake(
        "unknown fixed key",
        "fixed.imgz",
        ["expected a hyperparameter of yolo_seg", "got imgz = 640; did you mean imgsz?"],
        {**YOLO, "fixed": {"imgz": 640}},
    ),
    Mistake(
        "fixed by another engine's name",
        "fixed.lr",
        ["expected a hyperparameter of yolo_seg", "got lr = 0.01; did you mean lr0?"],
        {**YOLO, "fixed": {"lr": 0.01}},
    ),
    Mistake(
        "fixed twice",
        "fixed.lr0",
        ["expected a key that is not searched, got lr0 = 0.1", "keep one"],
        {"fixed": {"lr0": 0.1}, "search_space": {"lr0": {"uniform": [0.1, 0.2]}}},
    ),
    Mistake(
        "a choice of optimizers of which one ignores what is searched",
        "search_space.optimizer",
        ["expected a named optimizer while lr0 is searched, got auto"],
        {
            **YOLO,
            "search_space": {
                "optimizer": {"choice": ["AdamW", "auto"]},
                "lr0": {"loguniform": [1e-4, 1e-2]},
            },
        },
    ),
    Mistake(
        "a choice of models of which one is missing",
        "search_space.model",
        ["expected existing weights, got gone.pt"],
        {
            **YOLO,
            "search_space": {
                "model": {"choice": ["yolo11n-seg.yaml", "gone.pt"]},
                "lr0": {"loguniform": [1e-4, 1e-2]},
            },
            "fixed": {"optimizer": "SGD"},
        },
    ),
    Mistake(
        "optimizer that ignores what is searched",
        "fixed.optimizer",
        ["expected a named optimizer", "got auto"],
        {
            **YOLO,
            "fixed": {"optimizer": "auto"},
            "search_space": {"lr0": {"loguniform": [1e-4, 0.1]}},
        },
    ),
    Mistake(
        "weights that are not there",
        "fixed.model",
        ["expected existing weights, got yolo11n-seg.pt", "yolo11n-seg.yaml"],
        {**YOLO, "fixed": {"model": "yolo11n-seg.pt"}},
    ),
]


POINTS = [
    Mistake(
        "point out of range",
        "warm_start.points.0.lr0",
        ["expected 1e-05 to 0.1, log scale, got 5.0; the nearest is 0.1"],
        {"warm_start": {"points": [{"lr0": 5.0}]}},
    ),
    Mistake(
        "point outside the choices",
        "warm_start.points.1.batch",
        ["expected one of 2, 4, 8, 16, 32, 64, got 12; the nearest is 8"],
        {"warm_start": {"points": [{"batch": 8}, {"batch": 12}]}},
    ),
    Mistake(
        "point with a mistyped key",
        "warm_start.points.0.bach",
        ["expected a hyperparameter of simulated, got bach = 8; did you mean batch?"],
        {"warm_start": {"points": [{"bach": 8}]}},
    ),
    Mistake(
        "point with a key that is not searched",
        "warm_start.points.0.noise",
        ["expected a searched key (lr0, momentum, batch, optimizer), got noise = 0.1"],
        {"warm_start": {"points": [{"noise": 0.1}]}},
    ),
    Mistake(
        "the same point twice",
        "warm_start.points.1",
        ["expected every point once, got that of points.0 again"],
        {"warm_start": {"points": [{"batch": 8}, {"batch": 8.0}]}},
    ),
    Mistake(
        "points that are no list",
        "warm_start.points",
        ["expected a list", "got {'lr0': 0.1}"],
        {"warm_start": {"points": {"lr0": 0.1}}},
    ),
    Mistake(
        "points in a grid",
        "warm_start.points",
        ["expected no points with search: grid", "got 1"],
        {
            "search": "grid",
            "search_space": {"batch": {"choice": [2, 4]}},
            "warm_start": {"points": [{"batch": 2}]},
        },
    ),
    Mistake(
        "a race whose trainings are cut short",
        "scheduler",
        ["expected none with search: race, which compares whole trainings", "got asha"],
        {
            "search": "race",
            "scheduler": {"kind": "asha"},
            "plateau": {"kind": "none"},
            "budget": {"trials": 8, "epochs": 40},
            "warm_start": {"points": [{"batch": 2}, {"batch": 4}]},
        },
    ),
    Mistake(
        "grid over a continuous domain",
        "search_space.lr0",
        [
            "expected a finite domain (choice, randint, quniform) for search: grid",
            "got 1e-05 to 0.1, log scale; the nearest is {choice: [1e-05, 0.001, 0.1]}",
        ],
        {"search": "grid", "search_space": {"lr0": {"loguniform": [1e-5, 0.1]}}},
    ),
    Mistake(
        "grid of more than can be listed",
        "search",
        ["expected a grid of at most 100000 configurations, got up to 1e+12"],
        {
            "search": "grid",
            "search_space": {"epoch_seconds": {"quniform": [0.001, 1000, 1e-9]}},
        },
    ),
    Mistake(
        "grid without end",
        "search",
        ["expected a grid of at most 100000 configurations, got up to 1e+06"],
        {
            "search": "grid",
            "search_space": {
                "lr0": {"quniform": [0.001, 1, 0.001]},
                "momentum": {"quniform": [0, 0.999, 0.001]},
            },
        },
    ),
]


RULES = [
    Mistake(
        "unknown metric",
        "objective.metric",
        [
            "expected a metric of simulated (seg_metrics/F1",
            "got 'seg_metric/F1'",
            "did you mean seg_metrics/F1?",
        ],
        {"objective": {"metric": "seg_metric/F1"}},
    ),
    Mistake(
        "metric of the training split",
        "objective.metric",
        ["expected a metric of simulated", "got 'train_seg_metrics/F1'"],
        {"objective": {"metric": "train_seg_metrics/F1"}},
    ),
    Mistake(
        "wrong direction",
        "objective.mode",
        ["expected max for seg_metrics/F1 (larger is better), got 'min'"],
        {"objective": {"metric": "metrics/F1(M)", "mode": "min"}},
    ),
    Mistake(
        "measurement error of another name",
        "objective.metric",
        ["got 'measure/size_dist'", "did you mean measure/size_distance?"],
        {"objective": {"metric": "measure/size_dist"}},
    ),
    Mistake(
        "a signed error to be minimised",
        "objective.metric",
        ["which is best at 0; the nearest is measure/diameter_bias"],
        {"objective": {"metric": "measure/diameter_shift"}},
    ),
    Mistake(
        "an error to be maximised",
        "objective.mode",
        ["expected min for measure/count_error (smaller is better), got 'max'"],
        {"objective": {"metric": "measure/count_error", "mode": "max"}},
    ),
    Mistake(
        "constraint on an unknown metric",
        "objective.constraints.measure/count_eror",
        ["expected a metric of simulated", "did you mean measure/count_error?"],
        {"objective": {"constraints": {"measure/count_eror": {"at_most": 0.1}}}},
    ),
    Mistake(
        "constraint with an unknown bound",
        "objective.constraints.measure/count_error.atmost",
        ["unknown key (value 0.1), expected one of at_most, at_least; did you mean at_most?"],
        {"objective": {"constraints": {"measure/count_error": {"atmost": 0.1}}}},
    ),
    Mistake(
        "constraint that is a number",
        "objective.constraints.measure/count_error",
        ["expected a mapping with at_most, at_least, got 0.1"],
        {"objective": {"constraints": {"measure/count_error": 0.1}}},
    ),
    Mistake(
        "constraint without a bound",
        "objective.constraints.measure/count_error",
        ["expected at_most or at_least, got neither"],
        {"objective": {"constraints": {"measure/count_error": {}}}},
    ),
    Mistake(
        "constraint upside down",
        "objective.constraints.measure/diameter_shift",
        ["expected at_least up to at_most, got at_least 0.1 and at_most -0.1"],
        {
            "objective": {
                "constraints": {"measure/diameter_shift": {"at_least": 0.1, "at_most": -0.1}}
            }
        },
    ),
    Mistake(
        "share in percent",
        "objective.constraints.seg_metrics/recall.at_least",
        ["expected a share from 0 to 1 for seg_metrics/recall, got 80; did you mean 0.8?"],
        {"objective": {"constraints": {"seg_metrics/recall": {"at_least": 80}}}},
    ),
    Mistake(
        "constraint on the wrong side",
        "objective.constraints.measure/count_error.at_least",
        ["expected at_most for measure/count_error (smaller is better), got at_least 0.1"],
        {"objective": {"constraints": {"measure/count_error": {"at_least": 0.1}}}},
    ),
    Mistake(
        "grace as long as the training",
        "scheduler.grace_period",
        ["expected fewer epochs than budget.epochs = 40, got 40", "the nearest is 39"],
        {"scheduler": {"kind": "asha", "grace_period": 40}},
    ),
    Mistake(
        "unknown scheduler",
        "scheduler.kind",
        ["expected one of asha, none, got 'ahsa'; did you mean asha?"],
        {"scheduler": {"kind": "ahsa"}},
    ),
    Mistake(
        "everyone passes",
        "scheduler.reduction_factor",
        ["expected a whole number of at least 2, got 1; the nearest is 2"],
        {"scheduler": {"reduction_factor": 1}},
    ),
    Mistake(
        "another rule's key",
        "plateau.std",
        ["value 0.01", "expected one of kind, metric, window, grace"],
        {"plateau": {"kind": "slope", "std": 0.01}},
    ),
    Mistake(
        "collapse sooner than plateau",
        "plateau",
        ["expected collapse_window above window", "got collapse_window=10"],
        {"plateau": {"collapse_window": 10}},
    ),
    Mistake(
        "watching what is not measured",
        "plateau.metric",
        ["got train_seg_metrics/F1 with train_metrics.every = 0; set train_metrics.every to 1"],
        {"plateau": {"metric": "train_seg_metrics/F1"}, "train_metrics": {"every": 0}},
    ),
    Mistake(
        "a third of a third",
        "resources.gpus_per_trial",
        ["expected auto, 0, 1/n of a GPU", "got 0.3; the nearest is 1/3 (0.3333)"],
        {"resources": {"gpus_per_trial": 0.3}},
    ),
    Mistake(
        "more GPUs than there are",
        "resources.gpus_per_trial",
        ["expected auto or at most the GPUs there are (1), got 2; the nearest is 1"],
        {"resources": {"gpus_per_trial": 2}},
    ),
    Mistake(
        "more cores than there are",
        "resources.cpus_per_trial",
        ["at most the 4 CPU cores there are, got 16; the nearest is 4"],
        {"resources": {"cpus_per_trial": 16}},
    ),
    Mistake(
        "no trial at once",
        "resources.concurrent",
        ["got 0; the nearest is 1"],
        {"resources": {"concurrent": 0}},
    ),
    Mistake(
        "automatic, nearly",
        "resources.cpus_per_trial",
        ["expected auto or a whole number above 0, got 'atuo'; did you mean auto?"],
        {"resources": {"cpus_per_trial": "atuo"}},
    ),
    Mistake(
        "unknown tracking mode",
        "tracking.wandb.mode",
        ["expected one of auto, online, offline, disabled, got 'off'; did you mean offline?"],
        {"tracking": {"wandb": {"mode": "off"}}},
    ),
]


DATA = [
    Mistake(
        "no data set",
        "data",
        ["expected a prepared data set, the folder does not exist", "segtune prepare RAW"],
        data=None,
    ),
    Mistake(
        "a file as data set",
        "data",
        ["expected the folder of a prepared", "got a file"],
        {"data": "study.yaml"},
    ),
    Mistake(
        "raw data", "data", ["not a prepared data set", "segtune prepare"], {"data": "."}, data=None
    ),
    Mistake(
        "one folder too high",
        "data",
        ["no dataset.json here; did you mean", "/data?"],
        {"data": "."},
    ),
    Mistake(
        "for evaluation only",
        "data",
        ["prepared for evaluation only: too few groups"],
        data={"evaluation_only": "too few groups"},
    ),
    Mistake(
        "of another version",
        "data",
        ["expected format_version 1 or 2, got 99"],
        data={"format_version": 99},
    ),
]


OVERRIDES = [
    Mistake(
        "override without a value",
        "--set budget.trials",
        ["expected KEY=VALUE such as budget.trials=8"],
        sets=("budget.trials",),
    ),
    Mistake(
        "override of an unknown key",
        "budget.trails",
        ["--set", "value 8", "did you mean trials?"],
        sets=("budget.trails=8",),
    ),
    Mistake(
        "override of the wrong kind",
        "seed",
        ["--set", "expected a whole number of at least 0, got 'x'"],
        sets=("seed=x",),
    ),
    Mistake(
        "override of a point that is not there",
        "--set warm_start.points.3.lr0=1",
        ["expected an item from 0 to 0 of the list, got 3"],
        {"warm_start": {"points": [{"lr0": 0.1}]}},
        sets=("warm_start.points.3.lr0=1",),
    ),
]


MISTAKES = [*TEXTS, *SHAPES, *ENGINES, *POINTS, *RULES, *DATA, *OVERRIDES]
