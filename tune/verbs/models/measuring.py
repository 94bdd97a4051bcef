"""A trained model put to work on pictures: what is in them, and how large it is."""

from collections.abc import Callable, Sequence
from pathlib import Path

from analysis.errors import MeasureError
from analysis.measure.plan import MeasurePlan, plan_measure, plan_outlines
from analysis.measure.run import MeasureResult, run_measure
from analysis.measure.settings import MeasureSettings, read_measure_settings
from analysis.models.ensembles import members_of
from trainables.contract import Device

Places = Path | str | Sequence[Path | str]


def measure(  # noqa: PLR0913  the command's options
    images: Places,
    model: Places,
    out: Path | str,
    *,
    outlines: Path | str | None = None,
    form: str | None = None,
    config: Path | str | None = None,
    overrides: Sequence[str] = (),
    pixel_size: str | None = None,
    trainable: str | None = None,
    device: str | Device | None = None,
    progress: Callable[[int, int], None] | None = None,
    tell: Callable[[str], None] | None = None,
) -> MeasureResult:
    """Find the particles of pictures and measure them, and write tables, outlines and figures.

    Args:
        images: Files, folders and patterns, one or several; with `outlines`, () where the pictures
            lie with them.
        model: A study, an exported or retrained folder, a trial's folder, or a model file; several
            are an ensemble; with `outlines` ().
        out: Folder to write; what is done in it already stays as it is.
        outlines: Folder with outlines in a format that `prepare` reads, such as corrected LabelMe
            files of a measurement: they are measured in place of what a model finds.
        form: Name of their format; None to find it out.
        config: YAML file of settings.
        overrides: `key=value` that replace settings: "finding.confidence=0.4".
        pixel_size: Side of a pixel of every picture: "4.5nm".
        trainable: Engine of the model, where nothing beside its file says so.
        device: As torch names it; default: the first GPU where there is one.
        progress: Told how many of how many pictures are done.
        tell: Told a line at the beginning, where it is known how long it takes, and one when the
            first picture is done.

    Returns:
        What came out, its figures, and which pictures failed and why.

    Raises:
        MeasureError: There is nothing to measure, or pictures, model and settings do not go
            together.
        ClusterError: Ray cannot be started.
    """
    plan = planned_measurement(
        images,
        model,
        out,
        outlines=outlines,
        form=form,
        config=config,
        overrides=overrides,
        pixel_size=pixel_size,
        trainable=trainable,
        device=device,
    )
    return run_measure(plan, progress or (lambda done, total: None), tell or (lambda line: None))


def predict(  # noqa: PLR0913  the command's options
    images: Places,
    model: Places,
    out: Path | str,
    *,
    config: Path | str | None = None,
    overrides: Sequence[str] = (),
    trainable: str | None = None,
    device: str | Device | None = None,
    progress: Callable[[int, int], None] | None = None,
    tell: Callable[[str], None] | None = None,
) -> MeasureResult:
    """Find the particles of pictures: label images, outlines, and a table in pixels.

    Args:
        images: Files, folders and patterns, one or several.
        model: As for `measure`.
        out: Folder to write; what is done in it already stays as it is.
        config: As for `measure`.
        overrides: As for `measure`.
        trainable: Engine of the model, where nothing beside its file says so.
        device: As torch names it; default: the first GPU where there is one.
        progress: Told how many of how many pictures are done.
        tell: Told a line at the beginning, where it is known how long it takes, and one when the
            first picture is done.

    Returns:
        What came out, and which pictures failed and why.

    Raises:
        MeasureError: As for `measure`.
        ClusterError: Ray cannot be started.
    """
    plan = planned_prediction(
        images,
        model,
        out,
        config=config,
        overrides=overrides,
        trainable=trainable,
        device=device,
    )
    return run_measure(plan, progress or (lambda done, total: None), tell or (lambda line: None))


def planned_measurement(  # noqa: PLR0913  the command's options
    images: Places,
    model: Places,
    out: Path | str,
    *,
    outlines: Path | str | None,
    form: str | None,
    config: Path | str | None,
    overrides: Sequence[str],
    pixel_size: str | None,
    trainable: str | None,
    device: str | Device | None,
) -> MeasurePlan:
    """The plan of a measurement; nothing is computed. Arguments as for `measure`.

    Raises:
        MeasureError: As `measure` raises it, or an option has no effect beside another.
    """
    settings = _settings(config, overrides, pixel_size)
    if outlines is None:
        if form is not None:
            raise MeasureError("--format: expected --from DIR beside it, got none")
        return _planned(images, model, out, settings, trainable, device, figures=True)
    searching = {"--model": model, "--trainable": trainable, "--device": device}
    for option, value in searching.items():
        if value:
            raise MeasureError(f"{option}: expected none beside --from, which searches nothing")
    given = _texts(images)
    return plan_outlines(Path(outlines), Path(out), settings, pictures=given, form=form)


def planned_prediction(  # noqa: PLR0913  the command's options
    images: Places,
    model: Places,
    out: Path | str,
    *,
    config: Path | str | None,
    overrides: Sequence[str],
    trainable: str | None,
    device: str | Device | None,
) -> MeasurePlan:
    """The plan of a prediction; nothing is computed. Arguments as for `predict`."""
    settings = read_measure_settings(None if config is None else Path(config), overrides)
    scale = settings.scale.model_copy(update={"source": "none"})
    settings = settings.model_copy(update={"scale": scale})
    return _planned(images, model, out, settings, trainable, device, figures=False)


def _planned(  # noqa: PLR0913  the command's options
    images: Places,
    model: Places,
    out: Path | str,
    settings: MeasureSettings,
    trainable: str | None,
    device: str | Device | None,
    *,
    figures: bool,
) -> MeasurePlan:
    models = [model] if isinstance(model, Path | str) else model
    return plan_measure(
        _texts(images),
        members_of([Path(place) for place in models]),
        Path(out),
        settings,
        trainable=trainable,
        device=device,
        figures=figures,
    )


def _texts(places: Places) -> list[str]:
    """Files, folders and patterns as texts, of one or of several."""
    return [str(place) for place in ([places] if isinstance(places, Path | str) else places)]


def _settings(
    config: Path | str | None, overrides: Sequence[str], pixel_size: str | None
) -> MeasureSettings:
    """Settings of a file with some replaced, the pixel size by an option of its own."""
    settings = read_measure_settings(None if config is None else Path(config), overrides)
    if pixel_size is None:
        return settings
    scale = settings.scale.model_copy(update={"pixel_size": pixel_size})
    return settings.model_copy(update={"scale": scale})
