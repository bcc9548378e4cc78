"""Sites by a CSV file or by a pattern in the images' names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from trainer.config import DataConfig
from trainer.data import FederatedData, load
from trainer.errors import DataError


def read(path: Path, **settings: Any) -> FederatedData:
    return load(DataConfig(source="folder", path=path, image_size=24, **settings), "segmentation", 0)


def refusal(path: Path, **settings: Any) -> str:
    with pytest.raises(DataError) as caught:
        read(path, **settings)
    return str(caught.value)


def table(disk: Any, text: str) -> Path:
    file = disk.root / "sites.csv"
    file.write_text(text, encoding="utf-8")
    return file


def cases(data: FederatedData) -> dict[str, set[str]]:
    return {
        client.name: {name.split("/")[0] for part in (client.train, client.test) for name in part.identifiers}
        for client in data.clients
    }


ROWS = [("case0", 0), ("case1", 0), ("case2", 1), ("case3", 1)]
TABLES = {
    "plain": "subject,site\n" + "".join(f"{case},s{site}\n" for case, site in ROWS),
    "FeTS": "Partition_ID,Subject_ID\n" + "".join(f"{site},{case}\n" for case, site in ROWS),
    "FLamby's KiTS19": "case_ids,site_ids,train_test_split,train_test_split_silo\n"
    + "".join(f"{case},{site},{'test' if case in ('case1', 'case2') else 'train'},x\n" for case, site in ROWS),
    "German spreadsheet": "\ufeffPatient ID;Centre;Age\n" + "".join(f"{case};s{site};50\n" for case, site in ROWS),
    "file names": "image\tcenter\n" + "".join(f"{case}.nii.gz\ts{site}\n" for case, site in ROWS),
}


@pytest.mark.parametrize("kind", TABLES)
def test_the_columns_of_well_known_tables_are_understood(disk, kind):
    data = read(disk.nnunet(), sites=table(disk, TABLES[kind]))
    assert list(cases(data).values()) == [{"case0", "case1"}, {"case2", "case3"}]
    assert [client.name[-2:] for client in data.clients] in (["s0", "s1"], ["-0", "-1"])


def test_the_split_of_a_table_is_followed(disk):
    data = read(disk.nnunet(), sites=table(disk, TABLES["FLamby's KiTS19"]))
    held_out = [{name.split("/")[0] for name in client.test.identifiers} for client in data.clients]
    assert held_out == [{"case1"}, {"case2"}]


def test_rows_without_images_are_noted_and_images_without_rows_refused(disk):
    path = disk.nnunet()
    more = table(disk, TABLES["plain"] + "case9,s0\n")
    assert any("1 row(s) of subjects that are not here" in note for note in read(path, sites=more).notes)
    less = table(disk, "subject,site\ncase0,a\ncase1,a\n")
    message = refusal(path, sites=less)
    assert "no row for case2" in message
    assert "no row for case3" in message


FAULTS = {
    "no such columns": ("a,b\n1,2\n", "has the columns a, b; expected one named subject"),
    "empty": ("", "has the columns none"),
    "header alone": ("subject,site\n", "has no line but the first"),
    "short line": ("subject,site\ncase0\n", "line 2: has 1 cells"),
    "empty cell": ("subject,site\ncase0,\n", "line 2: has 2 cells, or an empty one"),
    "two sites for one": ("subject,site\ncase0,a\ncase0,b\n", "line 3: case0 has another site or split"),
    "odd split": ("subject,site,split\ncase0,a,maybe\n", "line 2: split is 'maybe'; expected train or test"),
    "unclosed quote": ('subject,site\n"case0,a\n', "cannot be read as CSV"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_table_that_cannot_be_meant_is_refused_by_line(disk, fault):
    text, words = FAULTS[fault]
    assert words in refusal(disk.nnunet(), sites=table(disk, text))


def test_a_table_that_is_missing_or_no_text_is_refused(disk):
    path = disk.nnunet()
    assert "nowhere.csv: cannot be read as CSV: No such file" in refusal(path, sites=disk.root / "nowhere.csv")
    (disk.root / "x.csv").write_bytes(b"\xff\xfe\x00")
    assert "x.csv: cannot be read as CSV" in refusal(path, sites=disk.root / "x.csv")


def test_a_pattern_takes_the_site_from_names(disk):
    for number, name in enumerate(("IXI002-Guys-1", "IXI012-HH-2", "IXI013-HH-3", "IXI014-Guys-4")):
        image, labels = disk.volume(number)
        disk.nifti(f"ixi/{name}.nii.gz", image)
        disk.nifti(f"ixi/{name}_seg.nii.gz", labels)
    data = read(disk.root / "ixi", site_pattern=r"^IXI\d+-(\w+)-")
    assert cases(data) == {"Guys": {"IXI002-Guys-1", "IXI014-Guys-4"}, "HH": {"IXI012-HH-2", "IXI013-HH-3"}}
    assert "IXI012-HH-2: data.site_pattern='(Guys)' is not in this name" in refusal(
        disk.root / "ixi", site_pattern="(Guys)"
    )


def test_a_pattern_that_parts_a_subject_is_refused(disk):
    for number in range(4):
        image, labels = disk.volume(number)
        disk.nifti(f"s/images/p{number // 2}/scan{number % 2}.nii", image)
        disk.nifti(f"s/labels/p{number // 2}/scan{number % 2}.nii", labels)
    assert "puts one subject at 0 and" in refusal(disk.root / "s", site_pattern="scan([01])").replace("site-", "")


def test_table_and_pattern_together_are_refused(disk):
    message = refusal(disk.nnunet(), sites=table(disk, TABLES["plain"]), site_pattern="(c)")
    assert "data.sites and data.site_pattern both say" in message
