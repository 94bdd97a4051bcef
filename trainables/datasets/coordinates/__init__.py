"""Files of particle coordinates: what `segtune prepare` reads and what picking writes.

Conventions, one for all of them:

- Coordinates are in pixels of the micrograph, continuous: (0, 0) is the upper left corner of the
  first pixel, x runs along a row, y from the first row of the file on. Nothing is flipped: RELION
  and EMAN count an MRC file's rows in the order of the file too, and so does the array that is
  trained on, whatever way up a viewer shows it. (Of a TIFF or PNG, EMAN counts from the last row.)
- `.star`: rlnCoordinateX and rlnCoordinateY are a particle's centre, less its refined shift.
- `.box` (EMAN 1): x, y, width, height; x and y are the box's first column and row, so the centre
  is x + width / 2, y + height / 2. A box is larger than its particle: its size is no radius.
- `.csv`, `.tsv`, `.txt`: a header with x and y (or rlnCoordinateX, x_coord and the like): a
  particle's centre; beside width and height a box's corner.
- `.cs` (cryoSPARC): fractions of the micrograph's sides.
- `.json`: {"image.png": [[x, y], ...]}, a particle's centre.

Tables may have a column that names the micrograph; without one, and in `.box`, a file speaks of the
micrograph whose name it bears; so does a `.star` that is empty or names a table without columns,
which says that there is nothing in it. A confidence is a third number in JSON, and a column in
`.star` (rlnAutopickFigureOfMerit) and tables (confidence, score).
"""

from trainables.datasets.coordinates.files import TABLES, read_coordinates
from trainables.datasets.coordinates.points import (
    OWN_NAME,
    Coordinates,
    Points,
    coordinates_of_json,
)

__all__ = ["OWN_NAME", "TABLES", "Coordinates", "Points", "coordinates_of_json", "read_coordinates"]
