"""Mistakes with best configurations, and with models to evaluate or to pick with."""

from tests.e2e.mistakes.seeds import (
    Mistake,
    both,
    changed_pictures,
    deleted_picture,
    grain_model,
    known_best,
    loose_model,
    no_test_part,
    replaced,
    text,
)

BEST = [
    Mistake("nothing of best", "best", ["best: expected one of show, set, clear, got none"]),
    Mistake("mistyped part of best", "best shwo", ["best: expected one of", "did you mean show?"]),
    Mistake("best of what", "best set", ["best set: expected SOURCE (best.yaml", "got none"]),
    Mistake("mistyped option of best", "best set x --stor y", ["best set: ", "mean --store?"]),
    Mistake("clear what", "best clear", ["best clear: expected what to clear, by --trainable"]),
    Mistake(
        "clear two levels",
        "best clear --data powder --global",
        ["expected --data or --global, got --data powder and --global"],
    ),
    Mistake(
        "clear what is not there",
        "best clear --trainable yolo_seg",
        ["expected what studies/best-configs has (nothing), got engine yolo_seg"],
    ),
    Mistake(
        "best of a study that is not exported",
        "best set begun",
        [
            "begun: this study has no best/best.yaml yet: run `segtune export begun`, or "
            "name the best.yaml that was exported to another folder"
        ],
    ),
    Mistake(
        "best without a data set's name",
        "best set best.yaml",
        ["sample: expected data.name (of the data set it was tuned on), got none"],
    ),
    Mistake(
        "worse than the best",
        "best set best.yaml --store kept",
        ["kept: expected a better configuration than the known one of grains", "--force"],
        known_best,
    ),
    Mistake(
        "damaged best",
        "best show --store kept",
        ["global.json: expected a best configuration as `segtune best set` writes it"],
        text("kept/simulated/_/global.json", '{"format": 2}'),
    ),
    Mistake("store of another cloud", "best show --store s3://x", ["s3://x: expected a folder or"]),
    Mistake("store is a file", "best show --store notes.txt", ["notes.txt: "]),
    Mistake(
        "unknown engine of best",
        "best show --trainable yolo_sge",
        ["trainable: expected one of", "did you mean yolo_seg?"],
    ),
    Mistake(
        "unknown data set of best",
        "best show --trainable simulated --data dta",
        ["--data: expected the folder of a prepared data set, or a recorded name", "got 'dta'"],
    ),
    Mistake("data of no engine", "best show --data data", ["best show: expected --trainable"]),
    Mistake("retrain nothing", "retrain --out new", ["retrain: expected BEST (best.yaml", "none"]),
    Mistake(
        "retrain two things",
        "retrain best.yaml --out new --trainable simulated",
        ["retrain: expected BEST or --trainable, got best.yaml and --trainable"],
    ),
    Mistake(
        "retrain on no data",
        "retrain --out new --trainable simulated",
        ["--trainable: expected --data DIR beside it, got none"],
    ),
    Mistake(
        "retrain an unknown engine",
        "retrain --out new --trainable simulatd --data data",
        ["trainable: expected one of", "did you mean simulated?"],
    ),
    Mistake(
        "retrain an unknown backbone",
        "retrain --out new --trainable simulated --backbone r50 --data data",
        ["--backbone: expected none, as simulated has but one, got r50"],
    ),
]


EVALUATE = [
    Mistake("nothing to evaluate", "evaluate", ["expected MODEL (A study, ", "and DATA", "none"]),
    Mistake("model on nothing", "evaluate done", ["evaluate: expected DATA", "got none"]),
    Mistake(
        "model that is not there",
        "evaluate dnoe data",
        ["dnoe: expected a study directory, a folder that", "found nothing; did you mean done?"],
    ),
    Mistake(
        "model in no folder", "evaluate nowhere/model.pt data", ["nowhere does not exist either"]
    ),
    Mistake("folder without a model", "evaluate raw data", ["raw: ", "a folder without model.pt"]),
    Mistake(
        "study without a finished trial",
        "evaluate begun data",
        ["begun: expected a trial with a value of seg_metrics/F1, got 0 trials"],
    ),
    Mistake(
        "best without its model",
        "evaluate best.yaml data",
        ["best.yaml: expected model.pt beside it", "got none"],
    ),
    Mistake(
        "model of no known engine",
        "evaluate loose.pt data",
        ["loose.pt: expected a model whose engine can be told", "--trainable ", "simulated"],
        loose_model,
    ),
    Mistake(
        "mistyped engine of a model",
        "evaluate loose.pt data --trainable simulate",
        ["trainable: expected one of", "got simulate; did you mean simulated?"],
        loose_model,
    ),
    Mistake(
        "other engine than the model's",
        "evaluate done data --trainable yolo_seg",
        ["--trainable: expected simulated, which trained", "got yolo_seg"],
        grain_model,
    ),
    Mistake(
        "garbled model",
        "evaluate notes.txt data --trainable simulated",
        ["notes.txt: expected a model of the engine simulated, got a file that it cannot read"],
    ),
    Mistake(
        "evaluated on raw data",
        "evaluate done raw",
        ["raw: not a prepared data set", "segtune prepare RAW"],
    ),
    Mistake("evaluated on nothing", "evaluate done dta", ["dta: expected a prepared data set"]),
    Mistake(
        "classes of other data",
        "evaluate done data",
        ["data: expected the model's classes particle, got grain", "as the model does"],
    ),
    Mistake(
        "mistyped part",
        "evaluate done data --split tset",
        ["--split: expected one of train, val, test, all, got 'tset'; did you mean test?"],
        grain_model,
    ),
    Mistake(
        "part without pictures",
        "evaluate done data --split test",
        ["--split: expected a part of", "with pictures (train ", "test 0), got test"],
        both(grain_model, no_test_part),
    ),
    Mistake(
        "evaluated without a picture",
        "evaluate done data --split all",
        ["data: expected 6 pictures in the part all, 1 missing: micrograph_0"],
        both(grain_model, deleted_picture),
    ),
    Mistake(
        "evaluated on changed pictures",
        "evaluate done data --split train",
        ["expected 4 pictures as they were prepared, got 4 missing or changed", "(changed)"],
        both(grain_model, changed_pictures),
    ),
    Mistake(
        "evaluated on changed annotations",
        "evaluate done data",
        ["annotations.json: it was changed after it was prepared"],
        both(grain_model, replaced("data/annotations.json", '"id":1', '"id": 1')),
    ),
    Mistake(
        "evaluated over something else",
        "evaluate done data --out raw",
        ["raw: expected a new folder or an earlier evaluation, got something else", "--out"],
        grain_model,
    ),
    Mistake("evaluated into a file", "evaluate done data --out notes.txt", ["--out: expected a"]),
    Mistake(
        "confidence in per cent",
        "evaluate done data --confidence 45",
        ["--confidence: expected a number from 0 to 1, got 45; did you mean 0.45?"],
    ),
    Mistake("no detections", "evaluate done data --max-det 0", ["--max-det: ", "nearest is 1"]),
    Mistake(
        "no match radius",
        "evaluate done data --match-radius 0",
        ["--match-radius: expected a number above 0, got 0"],
    ),
    Mistake(
        "match radius of instances",
        "evaluate done data --match-radius 1.5",
        ["--match-radius: expected none with simulated", "got 1.5"],
        grain_model,
    ),
    Mistake("overlays below 0", "evaluate done data --overlays -1", ["--overlays: ", "is 0"]),
    Mistake(
        "evaluated on no device",
        "evaluate done data --device gpu",
        ["--device: expected cpu", "got 'gpu'"],
        grain_model,
    ),
]


PICK = [
    Mistake("nothing to find", "predict", ["predict: expected IMAGES", "--model", "got none"]),
    Mistake("nothing to measure", "measure", ["measure: expected IMAGES", "--model", "got none"]),
    Mistake(
        "measured with a model and pictures that are not there",
        "measure nowhere --model dnoe --out made",
        ["nowhere: expected a picture, a folder or a pattern, found nothing", "dnoe: expected a"],
    ),
    Mistake(
        "measured in a unit that is none",
        "measure raw --model done --out made --set unit=inch",
        ["--set: unit: expected one of auto, pm, A, nm, um, mm, got 'inch'"],
    ),
    Mistake(
        "found with a setting that is none",
        "predict raw --model done --out made --set fiding.iou=0.3",
        ["fiding: unknown key", "did you mean finding?"],
    ),
    Mistake(
        "measured with settings that are not there",
        "measure raw --model done --out made --config no.yaml",
        ["no.yaml: expected a measurement file (YAML), found none"],
    ),
    Mistake("no picture to scale", "scale", ["scale: expected PICTURES", "--out", "got none"]),
    Mistake(
        "scale of pictures that are not there",
        "scale nowhere --out s.csv",
        ["nowhere: expected a picture, a folder or a pattern, found nothing"],
    ),
    Mistake(
        "mistyped source of a scale",
        "scale raw --out s.csv --source metdata",
        ["--source: expected one of auto, given", "got 'metdata'; did you mean metadata?"],
    ),
    Mistake(
        "pixel size without a unit",
        "scale raw --out s.csv --pixel-size 4.5",
        ["--pixel-size: expected a length above 0 with its unit", "got '4.5'"],
    ),
    Mistake("nothing to pick", "pick", ["pick: expected MICROGRAPHS", "--model", "--out", "none"]),
    Mistake(
        "picked without a model",
        "pick raw --out made",
        ["pick: expected --model", "got none"],
    ),
    Mistake(
        "picked with a model that is not there",
        "pick raw --model dnoe --out made",
        ["dnoe: expected a study directory, a folder that", "did you mean done?"],
    ),
    Mistake(
        "picked with a model of no known engine",
        "pick raw --model loose.pt --out made",
        ["loose.pt: expected a model whose engine can be told", "--trainable "],
        loose_model,
    ),
    Mistake(
        "picked with a study that has no model",
        "pick raw --model begun --out made",
        ["begun: expected a trial with a value of seg_metrics/F1, got 0 trials"],
    ),
    Mistake(
        "micrograph that is not there",
        "pick raw/micrograph_9.png --model done --out made",
        ["raw/micrograph_9.png: expected a picture, a folder or a pattern", "did you mean"],
    ),
    Mistake(
        "empty folder of micrographs",
        "pick empty --model done --out made",
        ["empty: expected pictures in it (MRC, TIFF, PNG, JPEG), got none"],
    ),
    Mistake(
        "micrograph that is no picture",
        "pick notes.txt --model done --out made",
        ["notes.txt: expected a picture (MRC, TIFF, PNG, JPEG), got .txt"],
    ),
    Mistake(
        "pattern that matches nothing",
        "pick raw/*.mrc --model done --out made",
        ["raw/*.mrc: expected pictures", "the pattern matches none"],
    ),
    Mistake(
        "picked over something else",
        "pick raw --model done --out data",
        ["--out: expected a new folder or one of an earlier `segtune pick`, got", "data"],
    ),
    Mistake(
        "several mistakes of a picking",
        "pick nowhere.mrc --model done --out raw --min-distance 5 --pixel-size 2px --device gpu",
        [
            "pick: 5 problems",
            "nowhere.mrc: expected a picture",
            "--min-distance: expected a length above 0 with its unit, as 30px or 80A, got '5'",
            "--pixel-size: expected a length above 0 with its unit, as 1.77A, got '2px'",
            "--device: expected cpu",
            "--out: expected a new folder",
        ],
    ),
    Mistake(
        "maps of a model that draws none",
        "pick raw --model done --out made --save-prob",
        ["--save-prob: expected a model that draws maps", "got one of simulated"],
    ),
    Mistake(
        "picks of no known confidence",
        "pick raw --model done --out made",
        ["--confidence: expected a number from 0 to 1, as none lies beside"],
    ),
    Mistake(
        "pick confidence in per cent",
        "pick raw --model done --out made --confidence 45",
        ["--confidence: expected a number from 0 to 1, got 45; did you mean 0.45?"],
    ),
    Mistake(
        "boxes of one pixel",
        "pick raw --model done --out made --box-px 1",
        ["--box-px: expected a whole number of at least 2, got 1; the nearest is 2"],
    ),
]
