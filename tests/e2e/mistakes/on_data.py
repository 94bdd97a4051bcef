"""Mistakes in raw data, prepared data and coordinates."""

from tests.e2e.mistakes.seeds import (
    Mistake,
    absolute_paths,
    all_invalid,
    both,
    broken_pictures,
    changed_picture,
    coco_boxes,
    coordinates,
    data_of,
    deleted_picture,
    manifest,
    one_invalid,
    pascal_voc,
    paths_leave,
    pictures,
    pictures_in_new,
    planted_weights,
    replaced,
    text,
    too_few_groups,
    without,
    yolo_boxes,
)

RAW = [
    Mistake(
        "no raw folder",
        "prepare rwa --out new",
        ["rwa: expected the folder of a raw data", "mean raw?"],
    ),
    Mistake("raw is a file", "prepare notes.txt --out new", ["notes.txt: expected", "got a file"]),
    Mistake("raw is empty", "prepare empty --out new", ["the folder is empty"]),
    Mistake(
        "no annotations",
        "prepare new --out made",
        ["no annotations of a known format; found 3 pictures and 0 other files; expected one of"],
        lambda folder: pictures(folder / "new"),
    ),
    Mistake(
        "Pascal VOC without corners",
        "prepare new --out made",
        ["read as voc", "p0.xml, object[0]: malformed: its bndbox has no xmin and no ymin"],
        pascal_voc,
    ),
    Mistake(
        "YOLO boxes in pixels",
        "prepare new --out made",
        ["expected boxes as fractions (0 to 1)", "up to 30 in 3 of 3 boxes", "are they pixels?"],
        yolo_boxes,
    ),
    Mistake(
        "COCO boxes that are turned",
        "prepare new --out made",
        ["expected at least one object", "oriented box", "a bbox of five numbers is turned"],
        coco_boxes,
    ),
    Mistake(
        "boxes of particles",
        "prepare new --out made --radius 9px --boxes",
        ["--boxes: no annotations with boxes, outlines or masks; found coordinates (1 picture)"],
        coordinates(p0=[[9, 9]]),
    ),
    Mistake(
        "unreadable annotations",
        "prepare new --out made",
        ["1 file cannot be read: p0.json: "],
        both(lambda folder: pictures(folder / "new"), text("new/p0.json", '{"shapes": [')),
    ),
    Mistake(
        "paths leave the folder",
        "prepare new --out made",
        ["path leaves the data folder", "../outside/p0.png", "give the folder that holds both"],
        paths_leave,
    ),
    Mistake(
        "absolute path",
        "prepare new --out made",
        ["the absolute path /etc/hostname lies outside the data folder"],
        absolute_paths,
    ),
    Mistake(
        "every object invalid",
        "prepare new --out made",
        ["too few points", "outside the image", "p0.json", "p1.json", "p2.json", "shapes[0]"],
        all_invalid,
    ),
    Mistake(
        "one object invalid, strictly",
        "prepare raw --out new --strict",
        ["1 problem", "refused as --strict asks", "micrograph_00.json, shapes[1]: too few points"],
        one_invalid,
    ),
    Mistake(
        "strict, over a prepared set",
        "prepare raw --out data --strict --force",
        ["refused as --strict asks"],
        one_invalid,
    ),
    Mistake(
        "broken pictures",
        "prepare raw --out data --force",
        ["raw: ", "unreadable image", "micrograph_05.png"],
        broken_pictures,
    ),
    Mistake(
        "classes nobody annotated",
        "prepare raw --out new --classes grian",
        ["--classes: ", "has grain (", "got grian; did you mean grain?"],
    ),
    Mistake(
        "splits of unknown parts",
        "prepare raw --out new",
        ["splits.csv: expected train, val or test", "holdout"],
        text("raw/splits.csv", "image,split\nmicrograph_00,holdout\n"),
    ),
    Mistake(
        "splits that are no splits",
        "prepare raw --out new",
        ["splits.json: expected {", "got ['a']"],
        text("raw/splits.json", '{"a": 1}'),
    ),
]


PREPARED = [
    Mistake("no data", "plan study.yaml", ["data: ", "does not exist"], without("data")),
    Mistake(
        "no manifest", "tune study.yaml", ["not a prepared data set"], without("data/dataset.json")
    ),
    Mistake(
        "broken manifest",
        "plan study.yaml",
        ["dataset.json: cannot be read", "segtune prepare RAW --out FOLDER --force"],
        text("data/dataset.json", '{"format_version": 1'),
    ),
    Mistake(
        "other version",
        "tune study.yaml",
        ["format_version 1 or 2, got 3"],
        manifest(format_version=3),
    ),
    Mistake(
        "incomplete manifest",
        "plan study.yaml",
        ["dataset.json: missing or wrong: classes (list)"],
        manifest(classes=None),
    ),
    Mistake(
        "too few groups",
        "tune study.yaml --set data=few",
        ["evaluation only", "1 group of pictures", "--group REGEX", "--splits"],
        too_few_groups,
    ),
    Mistake(
        "changed annotations",
        "tune study.yaml",
        ["annotations.json: it was changed after it was prepared", "segtune prepare RAW"],
        replaced("data/annotations.json", '"id":1', '"id": 1'),
    ),
    Mistake(
        "changed annotations, retrained",
        "retrain best.yaml --out new",
        ["annotations.json: it was changed after it was prepared"],
        replaced("data/annotations.json", '"id":1', '"id": 1'),
    ),
    Mistake(
        "deleted picture",
        "tune study.yaml",
        ["expected 6 pictures as they were", "the first is micrograph_0"],
        deleted_picture,
    ),
    *(
        Mistake(
            f"changed picture, {command.split()[0]}",
            command,
            ["1 missing or changed", "the first is micrograph_02.png (changed)", "a new folder"],
            changed_picture,
        )
        for command in (
            "plan study.yaml",
            "tune study.yaml",
            "resume begun --set data=data",
            "retrain best.yaml --out new",
            "init data --out new.yaml",
        )
    ),
    Mistake(
        "code in weights to train from",
        "plan study.yaml --set trainable=yolo_seg --set fixed.model=planted.pt",
        ["fixed.model: expected weights with nothing in them but", "planted.pt", ".system"],
        planted_weights,
    ),
    Mistake("deleted pictures", "plan study.yaml", ["images missing"], without("data/images")),
    Mistake(
        "other data on resume",
        "resume begun",
        ["data: ", "does not exist"],
        lambda folder: replaced("begun/study.yaml", data_of(folder), "/nowhere/data")(folder),
    ),
    Mistake(
        "other classes",
        "retrain best.yaml --out new",
        ["expected the classes grain", "got pore", "--classes grain", "--other-classes"],
        manifest(classes=["pore"]),
    ),
    Mistake(
        "raw data to retrain on",
        "retrain best.yaml --data raw --out new",
        ["raw: not a prepared data set", "segtune prepare"],
    ),
]


PARTICLES = [
    Mistake(
        "no radius",
        "prepare new --out made",
        ["--radius: expected the particles' radius, as 9px, 80A or 8nm, got none"],
        coordinates(p0=[[9, 9]]),
    ),
    Mistake(
        "radius without a unit",
        "prepare new --out made --radius 9",
        ["--radius: expected a length above 0 with its unit", "got '9'; did you mean 9px?"],
    ),
    Mistake(
        "radius in a unit nobody knows",
        "prepare new --out made --radius 9em",
        ["--radius: ", "got '9em'; the unit 'em' is none of px, A, nm, um"],
    ),
    Mistake(
        "radius in nm without a pixel size",
        "prepare new --out made --radius 8nm",
        ["--pixel-size: expected the side of a pixel", "for --radius 8nm, got none", "p0.png"],
        coordinates(p0=[[9, 9]]),
    ),
    Mistake(
        "pixel size of 0",
        "prepare raw --out new --pixel-size 0A",
        ["--pixel-size: expected a length above 0 with its unit, as 1.77A, got '0A'"],
    ),
    Mistake(
        "radius larger than the picture",
        "prepare new --out made --radius 80A --pixel-size 1.77A",
        ["--radius: expected 2 to 24 px", "got 80A, which is 45.2 px at 1.77"],
        coordinates(p0=[[9, 9]]),
    ),
    Mistake(
        "coordinates of pictures that are not there",
        "prepare new --out made --radius 9px",
        ["expected at least one object", "q0.png: missing image: q0.png is not there"],
        coordinates(q0=[[9, 9]]),
    ),
    Mistake(
        "coordinates outside",
        "prepare new --out made --radius 9px --strict",
        ["p1.png, row 2: outside the image: (99, 9) is not in 64 x 48 pixels"],
        coordinates(p0=[[9, 9]], p1=[[9, 9], [99, 9]]),
    ),
    Mistake(
        "empty lists of coordinates",
        "prepare new --out made --radius 9px",
        ["read as coordinates, expected at least one object", "its annotation files hold none"],
        coordinates(p0=[], p1=[]),
    ),
    Mistake(
        "coordinates of a larger picture",
        "prepare new --out made --radius 9px",
        [
            "p0.png: outside the image: 2 of 3 coordinates are not in 64 x 48 pixels",
            "they reach to (200, 190): were they made on a larger picture, about 4 times as large?",
        ],
        coordinates(p0=[[9, 9], [200, 80], [30, 190]]),
    ),
    Mistake(
        "corrupt micrographs",
        "prepare new --out made --radius 9px",
        [
            "expected at least one object in 0 pictures",
            "p1.mrc: unreadable image: ",
            "2 unreadable",
        ],
        both(
            text("new/p0.mrc", b"MRC"),
            text("new/p1.mrc", bytes(2000)),
            text("new/c.json", '{"p0.mrc": [[9, 9]], "p1.mrc": [[9, 9]]}'),
        ),
    ),
    Mistake(
        "CSV without a column y",
        "prepare new --out made --radius 9px",
        [
            "new: no annotations",
            "c.csv holds no coordinates, but the columns ",
            "expected a header with the columns x",
        ],
        both(pictures_in_new, text("new/c.csv", "micrograph,x\np0.png,9\n")),
    ),
    Mistake(
        "broken STAR file",
        "prepare new --out made --radius 9px",
        ["p0.star", "cannot be read"],
        both(pictures_in_new, text("new/p0.star", "data_\nloop_\n_rlnCoordinateX #1\n1 2 3\n")),
    ),
]
