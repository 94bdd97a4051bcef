"""Tables of boxes: spellings of columns by hand, and what is asked before boxes are meant."""

from pathlib import Path

import pytest

from tests.support.raw_samples import write_picture
from trainables.datasets.particle_size import particle_size
from trainables.datasets.prepared import DatasetError
from trainables.datasets.raw.entries import Kind
from trainables.datasets.raw.read import RawData, read_raw

BOX = (16.0, 12.0, 48.0, 36.0)


def read(
    folder: Path, text: str, boxes: bool = False, form: str | None = None, **sizes: str
) -> RawData:
    """Read `boxes.csv` beside three pictures of 64 x 48 pixels."""
    for i in range(3):
        write_picture(folder / f"m{i}.png", i)
    (folder / "boxes.csv").write_text(text)
    asked = {"radius": None, "pixel_size": None, **sizes}
    size = particle_size(
        asked["radius"], asked["pixel_size"], unit=asked.get("unit"), xy=asked.get("xy")
    )
    return read_raw(folder, format_name=form, classes=None, sizes=size, boxes=boxes)


@pytest.mark.parametrize(
    "text",
    [
        "image,xmin,ymin,xmax,ymax,label\nm0.png,16,12,48,36,grain\n",
        "image_id;label;x1;y1;x2;y2\nm0;grain;16;12;48;36\n",
        "filename,width,height,class,xmin,ymin,xmax,ymax\nm0.png,64,48,grain,16,12,48,36\n",
        "image_path\tclass_name\tleft\ttop\tright\tbottom\nsome/m0.png\tgrain\t16\t12\t48\t36\n",
        "m0.png,16,12,48,36,grain\n",
        "file,XMin,YMin,XMax,YMax,category\nm0.png,0.25,0.25,0.75,0.75,grain\n"
        "m1.png,0.1,0.1,0.5,0.5,grain\nm2.png,0,0,1,1,grain\n",
    ],
    ids=["torchvision", "no suffix", "Roboflow", "tabs", "no header", "fractions"],
)
def test_two_corners_and_a_class_are_boxes_however_they_are_called(
    tmp_path: Path, text: str
) -> None:
    data = read(tmp_path, text)
    assert (data.format.name, data.classes, data.problems) == ("csv-boxes", ("grain",), ())
    (item,) = data.images[0].objects
    assert (item.box, item.rle) == (BOX, None)


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("image,x,y,width,height", "16,12,32,24"),
        ("image,bbox_x,bbox_y,bbox_width,bbox_height", "16,12,32,24"),
        ("image,x_center,y_center,width,height", "32,24,32,24"),
        ("Label,X,Y,BX,BY,Width,Height", "30.1,22.9,16,12,32,24"),
        ("image,xmin,ymin,xmax,ymax", "16,12,48,36"),
    ],
)
def test_a_table_without_a_class_or_with_a_size_is_of_boxes_where_the_user_says_so(
    tmp_path: Path, header: str, row: str
) -> None:
    text = f"{header}\nm0.png,{row}\n"
    data = read(tmp_path, text, boxes=True, xy="corner")
    assert [item.box for item in data.images[0].objects] == [BOX]
    assert data.classes == ("object",)
    assert read(tmp_path, text, form="csv-boxes", xy="corner").images[0].objects[0].box == BOX


@pytest.mark.parametrize("header", ["image,xmin,ymin,xmax,ymax", "image,x,y,width,height"])
def test_boxes_of_a_table_that_may_be_particles_are_asked_about(
    tmp_path: Path, header: str
) -> None:
    with pytest.raises(DatasetError, match=r"say what it is: --boxes .* or --radius 9px"):
        read(tmp_path, f"{header}\nm0.png,16,12,40,30\n")


def test_corner_or_centre_is_asked_where_the_pictures_edges_do_not_show_it(tmp_path: Path) -> None:
    head = "image,x,y,width,height\n"
    with pytest.raises(DatasetError, match=r"as centres 0\. Say which: --xy corner or --xy center"):
        read(tmp_path, f"{head}m0.png,32,24,32,24\n", boxes=True)
    asked = read(tmp_path, f"{head}m0.png,32,24,32,24\n", boxes=True, xy="center")
    assert asked.images[0].objects[0].box == BOX
    shown = read(tmp_path, f"{head}m0.png,2,24,32,24\n", boxes=True)
    assert shown.images[0].objects[0].box == (2, 24, 34, 48)


def test_with_a_radius_a_table_is_of_particles(tmp_path: Path) -> None:
    text = "image,xmin,ymin,xmax,ymax,label\nm0.png,16,12,48,36,grain\n"
    data = read(tmp_path, text, radius="4px")
    (item,) = data.images[0].objects
    assert data.format.name == "csv"
    assert item.disc is not None
    assert (item.disc.x, item.disc.y, item.disc.radius) == (32, 24, 4)


def test_a_row_without_numbers_is_a_negative(tmp_path: Path) -> None:
    text = "image,xmin,ymin,xmax,ymax,label\nm0.png,16,12,48,36,grain\nm1.png,,,,,\n"
    data = read(tmp_path, text)
    assert [(image.stem, len(image.objects)) for image in data.images] == [("m0", 1), ("m1", 0)]
    assert data.problems == ()


def test_what_is_wrong_is_told_by_its_row(tmp_path: Path) -> None:
    rows = [
        "m0.png,16,12,48,36,grain",
        "m0.png,48,12,16,36,grain",
        "m0.png,16,x,48,36,grain",
        "m0.png,16,12,48,36,grain",
        "m1.png,16,12,48,36,",
        "gone.png,16,12,48,36,grain",
    ]
    data = read(tmp_path, "\n".join(["image,xmin,ymin,xmax,ymax,label", *rows]) + "\n")
    assert [(problem.object, problem.kind) for problem in data.problems] == [
        ("gone.png", Kind.MISSING_IMAGE),
        ("m0.png, row 3", Kind.MALFORMED),
        ("m0.png, row 4", Kind.MALFORMED),
        ("m1.png, row 6", Kind.UNKNOWN_LABEL),
        ("m0.png, row 5", Kind.OBJECT_TWICE),
    ]
    assert [image.stem for image in data.images] == ["m0"]


def test_a_picture_of_another_size_loses_its_boxes(tmp_path: Path) -> None:
    text = (
        "filename,width,height,class,xmin,ymin,xmax,ymax\nm0.png,640,480,grain,16,12,48,36\n"
        "m1.png,64,48,grain,16,12,48,36\n"
    )
    data = read(tmp_path, text)
    assert [problem.kind for problem in data.problems] == [Kind.SIZE_DIFFERS]
    assert [image.stem for image in data.images] == ["m1"]


def test_fractions_are_told_and_a_unit_is_taken(tmp_path: Path) -> None:
    head = "image,xmin,ymin,xmax,ymax,label\n"
    rows = "".join(f"m{i}.png,0.25,0.25,0.75,0.75,grain\n" for i in range(3))
    assert any("taken for fractions" in warning for warning in read(tmp_path, head + rows).warnings)
    binned = read(tmp_path, head + "m0.png,4,3,12,9,grain\n", unit="4px")
    assert binned.images[0].objects[0].box == BOX
    with pytest.raises(DatasetError, match="--unit: expected fraction or px for boxes, as 4px"):
        read(tmp_path, head + "m0.png,4,3,12,9,grain\n", unit="1nm")
    with pytest.raises(DatasetError, match="3 that all lie in the first pixel: are they fractions"):
        read(tmp_path, head + rows, unit="1px")


@pytest.mark.parametrize("column", ["angle", "x4"])
def test_turned_boxes_are_refused(tmp_path: Path, column: str) -> None:
    text = f"image,xmin,ymin,xmax,ymax,label,{column}\nm0.png,16,12,48,36,grain,30\n"
    with pytest.raises(DatasetError, match=f"the column {column} says that boxes are turned"):
        read(tmp_path, text)


def test_a_list_of_parts_and_a_table_of_pictures_are_no_boxes(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no annotations of a known format"):
        read(tmp_path, "image,width,height,label\nm0.png,64,48,grain\n")
