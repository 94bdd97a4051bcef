"""Mistakes in verbs, options, values, places and files."""

import shutil

from tests.e2e.mistakes.seeds import Mistake, replaced, text

LONG = "n" * 300


WORDS = [
    Mistake("mistyped verb", "prepar raw --out new", ["got 'prepar'; did you mean prepare?"]),
    Mistake("unknown verb", "frobnicate", ["expected one of prepare, simulate, init, plan, tune"]),
    Mistake("mistyped global option", "--hepl", ["got --hepl; did you mean --help?"]),
    Mistake(
        "mistyped option",
        "prepare raw --otu new",
        ["prepare: expected one of --out", "got --otu; did you mean --out?"],
    ),
    Mistake("option of another verb", "plan study.yaml --epochs 3", ["plan: ", "got --epochs"]),
    Mistake("short option", "retrain best.yaml -x", ["retrain: expected one of --out", "got -x"]),
    Mistake("nothing named", "prepare", ["prepare: expected RAW (Folder", ") and --out", "none"]),
    Mistake("no output", "simulate demo", ["simulate: expected --out", "got none"]),
    Mistake(
        "no data for a study",
        "init",
        ["init: expected DATA (A prepared data set: its folder", "got none"],
    ),
    Mistake(
        "a study that is there already",
        "init data",
        ["init: 1 problem", "--out study.yaml: expected a file that is not there yet, got one"],
    ),
    Mistake("no study", "plan", ["plan: expected STUDY", "got none"]),
    Mistake("no study directory", "resume", ["resume: expected STUDY_DIR", "got none"]),
    Mistake("nowhere to move to", "move studies/try", ["move: expected --to", "got none"]),
    Mistake("nothing to send", "submit", ["submit: expected FILE (", "got none"]),
    Mistake("nothing to confirm", "confirm", ["confirm: expected STUDY_DIR", "got none"]),
    Mistake("nothing to compare", "compare", ["compare: expected STUDIES (Study", "got none"]),
    Mistake("one study alone", "diff raw", ["diff: expected STUDY_B (A study", "got none"]),
    Mistake("a note of no study", "note raw text", ["raw: expected a study directory"]),
    Mistake("a list of no folder", "list nowhere", ["nowhere: expected a folder with studies"]),
    Mistake("no such job", "logs --follow", ["logs: expected NAME (A job", "got none"]),
    Mistake("no job to end", "stop", ["stop: expected NAME", "got none"]),
    Mistake(
        "address of another kind",
        "jobs --address ray://head:10001",
        ["--address: expected http://HOST:PORT", "the nearest is http://head:8265"],
    ),
    Mistake("one thing too many", "status a b", ["expected one argument (STUDY_DIR)", "also b"]),
    Mistake("no argument wanted", "doctor now", ["doctor: expected no argument, got also now"]),
    Mistake("value left out", "plan study.yaml --set", ["plan: --set: expected a value, got none"]),
    Mistake("value for a switch", "doctor --deep=1", ["--deep: expected no value, got one"]),
    Mistake(
        "option for a value",
        "prepare raw --out --force",
        ["--out: expected a folder, got the option --force"],
    ),
]


CLUSTER = "cluster render gcp study.yaml --project my-lab --zone us-central1-a --out new"

VALUES = [
    Mistake(
        "image without a tag",
        f"{CLUSTER} --bucket lab-studies --machine g2-standard-8 --image lab/segtune",
        ["--image: expected an image with a tag, got 'lab/segtune'; the nearest is lab/segtune:1"],
    ),
    Mistake(
        "machine without a GPU, and an address for a bucket",
        f"{CLUSTER} --bucket gs://lab --machine n1-standard-8 --image lab/segtune:1",
        ["2 problems", "--bucket: expected", "the nearest is lab", "+nvidia-tesla-t4:1"],
    ),
    Mistake(
        "no such kind of cluster",
        "cluster render gpc study.yaml",
        ["cluster render: expected one of gcp, kuberay, got 'gpc'; did you mean gcp?"],
    ),
    Mistake(
        "two shares",
        "prepare raw --out new --splits 0.8,0.1",
        ["--splits: expected the shares", "got '0.8,0.1'; did you mean 0.8,0.1,0.1?"],
    ),
    Mistake(
        "shares in words",
        "prepare raw --out new --splits most",
        ["--splits: expected the shares of train, val and test", "got 'most'"],
    ),
    Mistake(
        "shares above one",
        "prepare raw --out new --splits 70,15,15",
        ["--splits: expected", "got 70,15,15; did you mean 0.7,0.15,0.15?"],
    ),
    Mistake(
        "negative share",
        "prepare raw --out new --splits 1.2,-0.1,-0.1",
        ["--splits: expected", "at least 0", "got 1.2,-0.1,-0.1"],
    ),
    Mistake(
        "mistyped format",
        "prepare raw --out new --format labelmee",
        ["--format: expected one of coco,", "got 'labelmee'; did you mean labelme?"],
    ),
    Mistake(
        "another format than there is",
        "prepare raw --out new --format coco",
        ["no annotations of the format coco", "found labelme (6 pictures); --format labelme"],
    ),
    Mistake(
        "no regular expression",
        "prepare raw --out new --group [a",
        ["--group: expected a regular expression, got '[a'"],
    ),
    Mistake(
        "class twice", "prepare raw --out new --classes a,b,a", ["--classes: expected", "got a"]
    ),
    Mistake(
        "negative seed",
        "prepare raw --out new --seed -1",
        ["--seed: expected a whole number of at least 0, got -1; the nearest is 0"],
    ),
    Mistake(
        "seed in words",
        "simulate demo --out new --seed lucky",
        ["--seed: expected a whole number of at least 0, got lucky"],
    ),
    Mistake(
        "no micrograph",
        "simulate demo --out new --images 0",
        ["--images: expected a whole number of at least 1, got 0; the nearest is 1"],
    ),
    Mistake(
        "half a micrograph",
        "simulate demo --out new --images 2.6",
        ["got 2.6; the nearest is 3"],
    ),
    Mistake(
        "mistyped preset",
        "simulate sem_power --out new",
        ["simulate: expected one of demo, sem_powder", "got 'sem_power'; did you mean sem_powder?"],
    ),
    Mistake(
        "form that is not written",
        "simulate demo --out new --format coc",
        ["--format: expected one of coco, yolo", "got 'coc'; did you mean coco?"],
    ),
    Mistake("no trials", "demo --trials 0 --out new", ["--trials: ", "the nearest is 1"]),
    Mistake("no epochs", "retrain best.yaml --out new --epochs 0", ["--epochs: ", "nearest is 1"]),
    Mistake(
        "device that is not there",
        "retrain best.yaml --out new --device cpuu",
        ["--device: expected cpu", "got 'cpuu'; did you mean cpu?"],
    ),
    Mistake(
        "override without a value",
        "plan study.yaml --set budget.trials",
        ["--set budget.trials: expected KEY=VALUE such as budget.trials=8"],
    ),
    Mistake(
        "override of an unknown key",
        "tune study.yaml --set budget.trails=8",
        ["budget.trails", "did you mean trials?"],
    ),
    Mistake(
        "two overrides",
        "tune study.yaml --set seed=-1 --set search=tpee",
        ["2 problems", "the nearest is 0", "did you mean tpe?"],
    ),
]


PLACES = [
    Mistake(
        "output below a file",
        "prepare raw --out notes.txt/new",
        ["--out: expected a folder to make, got notes.txt/new: ", "notes.txt is a file"],
    ),
    Mistake(
        "output is a file",
        "simulate demo --out notes.txt",
        ["--out: expected a folder to make, got notes.txt: there is a file of this name"],
    ),
    Mistake("name too long", f"demo --out {LONG}", ["--out: ", "the name is too long"]),
    Mistake("export below a file", "export begun --to notes.txt/x", ["--to: ", "is a file"]),
    Mistake(
        "retrained below a file",
        "retrain best.yaml --out notes.txt/x",
        ["--out: expected a folder to make", "notes.txt is a file"],
    ),
    Mistake("schema over a folder", "schema --out raw", ["--out: expected a file", "is a folder"]),
    Mistake("schema in no folder", "schema --out nowhere/x.json", ["there is no folder nowhere"]),
    Mistake(
        "output is the raw data",
        "prepare raw --out raw",
        ["expected a folder outside the raw data", "raw-prepared"],
    ),
    Mistake(
        "output in the raw data", "prepare raw --out raw/x", ["expected a folder outside the raw"]
    ),
    Mistake("output holds the raw data", "prepare raw --out .", ["holds the raw data raw"]),
    Mistake(
        "output is prepared already",
        "prepare raw --out data",
        ["data: there is a prepared data set here; --force replaces it"],
    ),
    Mistake(
        "output is something else",
        "prepare raw --out empty --force",
        ["empty: there is something else here", "choose a new folder"],
        text("empty/thesis.tex", "years of work"),
    ),
    Mistake(
        "simulated over something else",
        "simulate demo --out raw --force",
        ["raw: expected a folder that is new or empty, got one with other files"],
    ),
    Mistake(
        "simulated twice",
        "simulate demo --out empty",
        ["empty: there is a simulated set here; --force replaces it"],
        text("empty/simulation.json", "{}"),
    ),
    Mistake("demo over something else", "demo --out raw", ["raw: expected an empty folder"]),
    Mistake(
        "retrained over something else",
        "retrain best.yaml --out raw",
        ["expected a new or empty folder", "choose another --out"],
    ),
    Mistake(
        "exported over something else",
        "export done --to raw",
        ["raw: expected a new folder or an earlier export, got a folder with other files"],
    ),
    Mistake(
        "nothing to export",
        "export begun",
        ["begun: expected a trial with a value of seg_metrics/F1, got 0 trials"],
    ),
    Mistake(
        "storage is a file",
        "tune study.yaml --set storage=notes.txt",
        ["storage: expected a folder", "notes.txt"],
    ),
]


FILES = [
    Mistake("study not there", "plan studi.yaml", ["found none; did you mean study.yaml?"]),
    Mistake("study is a folder", "plan raw", ["raw: expected a study file (YAML), got a folder"]),
    Mistake(
        "study is a picture",
        "plan raw/micrograph_00.png",
        ["micrograph_00.png: expected text in UTF-8"],
    ),
    Mistake(
        "study is empty",
        "tune empty.yaml",
        ["empty.yaml: expected a study", "got an empty file"],
        text("empty.yaml", ""),
    ),
    Mistake(
        "study is begun already",
        "tune begun/study.yaml --set storage=.",
        ["begun: expected a new study, found one; `segtune resume"],
    ),
    Mistake(
        "status of no study", "status raw", ["raw: expected a study directory with study.yaml"]
    ),
    Mistake("resume of nothing", "resume nowhere", ["nowhere: expected a study directory"]),
    Mistake("resume of a file", "resume study.yaml", ["study.yaml: expected a study directory"]),
    Mistake("upload of no study", "wandb upload raw", ["raw: expected a study directory"]),
    Mistake("cleaning of no study", "clean raw", ["raw: expected a study directory"]),
    Mistake("copy of nothing", "sync nowhere copy", ["nowhere: expected files to copy"]),
    Mistake("copy of no copy", "sync gs:// copy", ["gs://: expected gs://BUCKET/FOLDER"]),
    Mistake("copy between buckets", "sync gs://a/b gs://c/d", ["two addresses"]),
    Mistake("copy into an archive", "sync raw raw.zip", ["`segtune archive` makes it"]),
    Mistake("copy of a damaged archive", "sync study.zip copy", ["study.zip: expected a file"]),
    Mistake("archive of nothing", "archive nowhere", ["nowhere: expected files to pack"]),
    Mistake("archive of another kind", "archive raw -o raw.tar", ["ends in .zip, got raw.tar"]),
    Mistake("dashboard of no study", "dashboard raw", ["raw: expected a study directory"]),
    Mistake(
        "a port that there is not",
        "dashboard raw --port 99999",
        ["--port: expected a whole number from 0 to 65535, got 99999; the nearest is 65535"],
    ),
    Mistake("report on no study", "report raw", ["raw: expected a study directory"]),
    Mistake("export of no study", "export raw", ["raw: expected a study directory"]),
    Mistake(
        "one folder too high",
        "status studies",
        ["studies: expected a study directory", "did you mean", "studies/one?"],
        lambda folder: shutil.copytree(folder / "begun", folder / "studies" / "one"),
    ),
    Mistake(
        "damaged study",
        "status begun",
        ["resolved.json: the study directory cannot be read"],
        text("begun/resolved.json", '{"engine": '),
    ),
    Mistake(
        "another study on resume",
        "resume begun --set search=random",
        ["search: expected the value the study began with", "Begin another study"],
    ),
    Mistake(
        "other epochs on resume",
        "resume begun --set budget.epochs=77",
        ["budget.epochs: expected", "got 77"],
    ),
    Mistake("nothing to retrain", "retrain nowhere --out new", ["nowhere: expected a best.yaml"]),
    Mistake(
        "mistyped best",
        "retrain bst.yaml --out new",
        ["bst.yaml: expected a best.yaml", "did you mean best.yaml?"],
    ),
    Mistake(
        "study without an export",
        "retrain begun --out new",
        [
            "begun: this study has no best/best.yaml yet: run `segtune export begun`, or "
            "name the best.yaml that was exported to another folder"
        ],
    ),
    Mistake(
        "garbled best",
        "retrain best.yaml --out new",
        ["best.yaml: expected a best.yaml as `segtune export` writes it"],
        text("best.yaml", b"\x89PNG\r\n\x1a\n\x00\xff"),
    ),
    Mistake(
        "a study for a best",
        "retrain study.yaml --out new",
        ["study.yaml: expected a best.yaml", "got a study file; `segtune tune study.yaml` runs it"],
    ),
    Mistake(
        "mistyped key in best",
        "retrain best.yaml --out new",
        ["best.yaml: 2 problems", "epoch: unknown key; did you mean epochs?"],
        replaced("best.yaml", "epochs: 3", "epoch: 3"),
    ),
    Mistake(
        "unknown engine in best",
        "retrain best.yaml --out new",
        ["best.yaml: engine: expected one of", "got yolo_sge; did you mean yolo_seg?"],
        replaced("best.yaml", "engine: simulated", "engine: yolo_sge"),
    ),
    Mistake(
        "value out of range in best",
        "retrain best.yaml --out new",
        ["best.yaml: 1 problem", "params.lr0: ", "got 7"],
        replaced("best.yaml", "lr0: 0.003", "lr0: 7"),
    ),
]
