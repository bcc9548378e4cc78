"""DICOM series with their masks: DICOM SEG or RTSTRUCT that names its series, or NIfTI beside it.

A folder per series (and per patient above it, if wanted): `CASE/*.dcm` with a NIfTI mask in CASE/, beside it as
CASE.nii.gz or CASE_seg.nii.gz, or, for images/CASE/, in masks/ or labels/. A segmentation or structure set may lie
anywhere below the site. Who is shown is told by PatientID, which is never printed: a subject is called by its folder.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from trainer.data import nifti
from trainer.data.dicom_contours import chosen_structures, contour_volume
from trainer.data.dicom_seg import label_volume
from trainer.data.dicom_series import DIRECTORY, SEGMENTATION, STRUCTURES, Header, Series, read_header
from trainer.data.federated import Task
from trainer.data.pair import Found, Pair, printable
from trainer.data.problems import Problems
from trainer.data.raw import RawPair
from trainer.data.settings import Settings
from trainer.data.volumes import slices_of
from trainer.data.walk import (
    children,
    ending,
    files_below,
    is_dicom,
    is_nifti,
    passed_over,
    subfolders,
    without_mask_ending,
)
from trainer.errors import DataError

TREES: Mapping[Task, str] = {
    "segmentation": (
        "SITE/CASE/ with a DICOM series and its mask, as DICOM SEG, RTSTRUCT or NIfTI (CASE/mask.nii.gz, CASE.nii.gz)"
    )
}
_LOOKED_AT = 20  # files of a folder that decide whether it holds DICOM
_TARGETS = ("masks", "labels")


@dataclass(frozen=True, eq=False)
class _Case:
    name: str
    headers: tuple[Header, ...]

    @property
    def folder(self) -> Path:
        return self.headers[0].file.parent

    def describe(self) -> str:
        return f"{self.name}: a {printable(self.headers[0].modality)} series of {len(self.headers)} slice(s)"


class _Reader:
    """Opens a series and its mask."""

    def __init__(self, case: _Case, mask: Header | Path, structures: tuple[str, ...]) -> None:
        self._case, self._mask, self._structures = case, mask, structures

    def __call__(self, pair: Pair, settings: Settings) -> RawPair:
        series = Series.of(self._case.headers)
        mask = self._mask
        if isinstance(mask, Path):
            labels = nifti.open_volume(mask)
        elif mask.sop_class == STRUCTURES:
            labels = contour_volume(mask, series, self._structures)
        else:
            labels = label_volume(mask, series)
        raw = slices_of(series.volume(), labels, settings)
        inverted = ("MONOCHROME1 series inverted, so that large values are bright",) if series.is_inverted else ()
        return replace(raw, remarks=(*raw.remarks, *inverted))


def recognises(folder: Path, task: Task) -> bool:
    """Whether DICOM files lie in `folder` itself or below its images/, or each sub-folder shows one patient.

    A sub-folder that shows several is a site of its own. Patients are told apart by the headers of a few files.
    """
    if task != "segmentation":
        return False
    if _dicom_in(folder):
        return True
    below = {child: _patients(child) for child in subfolders(folder)}
    if any(child.name.lower() == "images" for child, patients in below.items() if patients):
        return True
    counts = [len(patients) for patients in below.values() if patients]
    return bool(counts) and max(counts) == 1


def find(site: Path, settings: Settings, problems: Problems) -> Found:
    """Every series with its mask; files that cannot be read, and patients without a mask, go to `problems`."""
    known = len(problems)
    files = files_below(site, problems)
    headers = _headers([file for file in files if is_dicom(file)], problems)
    images = [header for header in headers if header.sop_class != SEGMENTATION and header.rows and header.series]
    segmentations = [header for header in headers if header.sop_class in (SEGMENTATION, STRUCTURES)]
    cases = _cases(site, images)
    masks = [file for file in files if is_nifti(file)]
    pairs, bare, used = [], [], set()
    subjects = _subjects(cases)
    try:
        classes, structures = _classes(site, segmentations, settings)
    except DataError as error:
        problems.add(str(error))
        return Found()
    for case in cases.values():
        try:
            mask = _mask_of(case, cases, segmentations, masks, site)
        except DataError as error:
            problems.add(str(error))
            continue
        if mask is None:
            bare.append(case)
            continue
        file = mask if isinstance(mask, Path) else mask.file
        used.add(file)
        pairs.append(
            Pair(case.name, subjects[case.name], case.folder, file, _Reader(case, mask, structures), is_volume=True)
        )
    for header in segmentations:
        if header.refers_to not in cases:
            problems.add(f"{printable(header.file)}: segments a series that is not here")
    notes = _without_masks(site, bare, {pair.subject for pair in pairs}, subjects, problems)
    others = Counter(header.modality for header in headers if header not in images and header not in segmentations)
    notes += [
        f"{printable(site.name)}: {count} {printable(modality)} file(s) without an image passed over"
        for modality, count in others.items()
    ]
    strangers = [file for file in files if not is_dicom(file) and file not in used]
    if not cases and len(problems) == known:
        problems.add(f"{printable(site)}: no DICOM series with an image; expected {TREES['segmentation']}")
    ordered = tuple(sorted(pairs, key=lambda pair: pair.name))
    return Found(ordered, (*notes, *passed_over(site, strangers)), classes)


def _dicom_in(folder: Path) -> list[Path]:
    """DICOM files among the first files of `folder`, and its last."""
    files = [child for child in children(folder) if child.is_file()]
    return [file for file in (*files[:_LOOKED_AT], *files[_LOOKED_AT:][-1:]) if is_dicom(file)]


def _patients(folder: Path) -> set[object]:
    """Who is shown below `folder`, up to two: PatientIDs, or the folders of files that have none."""
    found: set[object] = set()
    waiting = [folder]
    while waiting and len(found) < 2:
        current = waiting.pop()
        waiting += subfolders(current)
        files = _dicom_in(current)
        for file in {*files[:1], *files[-1:]}:
            try:
                found.add(read_header(file).patient or current)
            except DataError:
                found.add(current)
    return found


def _headers(files: Sequence[Path], problems: Problems) -> list[Header]:
    headers = []
    for file in files:
        try:
            header = read_header(file)
        except DataError as error:
            problems.add(str(error))
            continue
        if header.sop_class != DIRECTORY:
            headers.append(header)
    return headers


def _cases(site: Path, images: Sequence[Header]) -> dict[str, _Case]:
    """Series by UID, each named by its folder; with a number where a folder holds several."""
    series: defaultdict[str, list[Header]] = defaultdict(list)
    for header in images:
        series[header.series].append(header)
    folders = Counter(headers[0].file.parent for headers in series.values())
    seen: Counter[Path] = Counter()
    cases = {}
    for uid, headers in sorted(series.items(), key=lambda item: (item[1][0].file.parent, item[0])):
        folder = headers[0].file.parent
        seen[folder] += 1
        name = folder.relative_to(site).as_posix().removeprefix("images/")
        name = site.name if name == "." else name
        if folders[folder] > 1:
            name += f"/series-{seen[folder]}"
        cases[uid] = _Case(printable(name), tuple(headers))
    return cases


def _subjects(cases: Mapping[str, _Case]) -> dict[str, str]:
    """Case name -> subject: one per PatientID, or per first folder where the header has none."""
    owners: defaultdict[str, set[str]] = defaultdict(set)
    for case in cases.values():
        owners[case.name.split("/")[0]].add(case.headers[0].patient)
    called: dict[str, str] = {}
    subjects = {}
    for case in cases.values():
        first, patient = case.name.split("/")[0], case.headers[0].patient
        own = first if len(owners[first]) == 1 or not patient else case.name
        subjects[case.name] = called.setdefault(patient, own) if patient else own
    return subjects


def _mask_of(
    case: _Case, cases: Mapping[str, _Case], segmentations: Sequence[Header], masks: Sequence[Path], site: Path
) -> Header | Path | None:
    """The mask of `case`, None if there is none. Raises DataError if there are several, or it is not clear whose."""
    marked = [header for header in segmentations if header.refers_to == case.headers[0].series]
    if marked:
        if len(marked) > 1:
            raise DataError(f"{case.describe()}: {_listed([header.file for header in marked])} both segment it")
        return marked[0]
    folder = case.folder
    within = [file for file in masks if file.parent == folder]
    named = [file for file in within if without_mask_ending(_stem(file)) != _stem(file)]
    beside = [folder.parent, *(site / name for name in _TARGETS)]
    outside = [
        file for file in masks if file.parent in beside and without_mask_ending(_stem(file)) == folder.name
    ] or [file for file in masks if file.parent in beside and _stem(file) == folder.name]
    candidates = named or within or outside
    if not candidates:
        return None
    if len(candidates) > 1:
        raise DataError(f"{case.describe()}: {_listed(candidates)} may all be its mask; keep one of them")
    sharing = [other for other in cases.values() if other.folder == folder]
    if len(sharing) > 1:
        raise DataError(
            f"{printable(folder)}: holds {len(sharing)} series ("
            f"{', '.join(f'{printable(s.headers[0].modality)} of {len(s.headers)} slices' for s in sharing)}), but "
            f"{printable(candidates[0].name)} fits one; put each series into a folder of its own"
        )
    return candidates[0]


def _without_masks(
    site: Path, bare: Sequence[_Case], known: set[str], subjects: Mapping[str, str], problems: Problems
) -> list[str]:
    """Notes on further series of patients who have a mask; patients without any go to `problems`."""
    notes = []
    further = [case for case in bare if subjects[case.name] in known]
    if further:
        notes.append(
            f"{printable(site.name)}: {len(further)} further series without a mask passed over (such as "
            f"{further[0].describe()})"
        )
    for case in bare:
        if case not in further:
            problems.add(f"{printable(case.folder)}: no mask for {case.describe()}; expected {TREES['segmentation']}")
    return notes


def _classes(
    site: Path, marked: Sequence[Header], settings: Settings
) -> tuple[dict[int, str] | None, tuple[str, ...]]:
    """Mask value -> label, and the structures to learn. Segment labels count where all segmentations agree."""
    structure_sets = [header for header in marked if header.sop_class == STRUCTURES]
    if not structure_sets:
        return _segment_labels(marked), ()
    if len(structure_sets) < len(marked):
        raise DataError(f"{printable(site)}: mixes SEG and RTSTRUCT, whose numbers mean different things; part them")
    structures = chosen_structures(structure_sets, settings.structures)
    return {0: "background"} | dict(enumerate(structures, start=1)), structures


def _segment_labels(segmentations: Sequence[Header]) -> dict[int, str] | None:
    kinds = {header.segments for header in segmentations}
    segments = kinds.pop() if len(kinds) == 1 else ()
    labels = [printable(label) for _, label in segments]
    if not segments or "" in labels or len(set(labels)) != len(labels):
        return None
    return {0: "background"} | {number: label for (number, _), label in zip(segments, labels, strict=True)}


def _listed(files: Sequence[Path]) -> str:
    return " and ".join(printable(file.name) for file in files)


def _stem(file: Path) -> str:
    return file.name[: len(file.name) - len(ending(file.name))]
