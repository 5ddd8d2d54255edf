"""What a learning platform downloads becomes submitted/, and nothing gets out of there."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import stat
import struct
import tarfile
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nbgrader.api import Gradebook

from autograder.collect import archive as archives
from autograder.collect import collect, storing
from autograder.collect.names import Refused, safe_parts, student_id_problem
from autograder.collect.presets import guess
from autograder.collect.roster import same_name
from autograder.course import Course
from autograder.errors import CourseError
from autograder.intake import take_in

NOTEBOOK = b'{"cells": [], "nbformat": 4, "nbformat_minor": 5, "metadata": {}}'
THEN = datetime(2026, 11, 20, 8, 30, tzinfo=UTC)


def zipped(path: Path, files: dict[str, bytes | str], when: datetime = THEN) -> Path:
    """A zip file whose entries carry a UTC time, as Info-ZIP writes it."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name, (1990, 1, 1, 0, 0, 0))
            info.extra = struct.pack("<HHBi", 0x5455, 5, 1, int(when.timestamp()))
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, content)
    return path


def zip_bytes(files: dict[str, bytes | str]) -> bytes:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return memory.getvalue()


def by_student(results):
    return {each.student: each for each in results}


def everything_below(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def submitted(course: Course, student: str) -> set[str]:
    return everything_below(course.submitted(student, "mini"))


def stamp(course: Course, student: str) -> str:
    return (course.submitted(student, "mini") / "timestamp.txt").read_text().strip()


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    folder = tmp_path / "inbox"
    folder.mkdir()
    return folder


@pytest.fixture
def with_students(released: Course) -> Course:
    """A grade book with names, numbers of the platform and a due date."""
    with Gradebook(released.db_url, released.coursedir.course_id) as book:
        book.update_or_create_assignment("mini", duedate=datetime(2026, 11, 19, 12))
        book.add_student("ann", first_name="Ann", last_name="Lee", lms_user_id="340934")
        book.add_student("bob", first_name="Bob", last_name="Smith", email="bob@x.org")
        book.add_student("zoe", first_name="Zoë", last_name="Ångström")
    return released


# the schemes of the platforms


def test_canvas_names_are_taken_apart(with_students, inbox):
    archive = zipped(
        inbox / "submissions.zip",
        {
            "leeann_340934_208490284_mini.ipynb": NOTEBOOK,
            "leeann_340934_208490285_model.pt": b"weights",
            "smithbob_LATE_77_208490286_mini-1.ipynb": NOTEBOOK,
            "ångströmzoë_78_208490287_2026_11_20_mini.ipynb": NOTEBOOK,
            "leeann_340934_text.html": "typed into Canvas",
        },
    )
    results = by_student(collect(with_students, "mini", archive))
    assert {name: each.status for name, each in results.items()} == {
        "ann": "new", "bob": "new", "zoe": "new",
    }  # fmt: skip
    assert submitted(with_students, "ann") == {"mini.ipynb", "model.pt", "timestamp.txt"}
    assert results["bob"].files == ("mini-1.ipynb",)
    assert results["zoe"].files == ("2026_11_20_mini.ipynb",)
    # Canvas says who is late, not when: in time is in time, late is later than that.
    assert stamp(with_students, "ann") == "2026-11-19 12:00:00 UTC"
    assert stamp(with_students, "bob") == "2026-11-19 12:00:01 UTC"
    assert any("late" in note for note in results["bob"].notes)


def test_an_anonymous_canvas_archive_keeps_its_codes(course, inbox):
    files = {"anon_x7Yz1_9_mini.ipynb": NOTEBOOK, "LATE_anon_Ab12C_10_mini.ipynb": NOTEBOOK}
    results = collect(course, "mini", zipped(inbox / "s.zip", files), "canvas")
    assert sorted(each.student for each in results) == ["anon_Ab12C", "anon_x7Yz1"]


def test_a_canvas_name_with_digits_does_not_make_somebody_else_of_a_student(with_students, inbox):
    # eve calls herself "eve__340934__5", of which Canvas makes eve_340934_5: ann's number.
    files = {
        "eve_340934_5_99_208490288_mini.ipynb": b"not ann's",
        "leeann_340934_208490284_mini.ipynb": NOTEBOOK,
    }
    roster = inbox / "roster.csv"
    roster.write_text("Student,ID,SIS Login ID\nEve 340934 5,99,eve\n")
    archive = zipped(inbox / "s.zip", files)
    results = by_student(collect(with_students, "mini", archive, "canvas", roster))
    assert (with_students.submitted("ann", "mini") / "mini.ipynb").read_bytes() == NOTEBOOK
    assert results["eve"].status == "new"


def test_canvas_files_of_one_name_keep_the_last_upload(course, inbox):
    files = {"leeann_5_10_mini.ipynb": b"first", "leeann_5_11_mini.ipynb": b"second"}
    result = collect(course, "mini", zipped(inbox / "s.zip", files), "canvas")[0]
    assert (course.submitted("5", "mini") / "mini.ipynb").read_bytes() == b"second"
    assert any("another file" in note for note in result.notes)


@pytest.mark.parametrize(
    "layout",
    [
        "Bob Smith_12345_assignsubmission_file_/mini.ipynb",
        "Bob Smith_12345_assignsubmission_file/mini.ipynb",
        "Bob Smith_12345_assignsubmission_file_mini.ipynb",
        "course-a1-99/Bob Smith_12345_assignsubmission_file/mini.ipynb",
    ],
)
def test_moodle_names_are_taken_apart(with_students, inbox, layout):
    other = layout.replace("Bob Smith_12345", "Zoë Ångström_12346")
    typed = "Bob Smith_12345_assignsubmission_onlinetext/onlinetext.html"
    prefix = "course-a1-99/" if layout.startswith("course") else ""
    files = {layout: NOTEBOOK, other: NOTEBOOK, prefix + typed: "typed into Moodle"}
    results = by_student(collect(with_students, "mini", zipped(inbox / "m.zip", files)))
    assert {name: each.files for name, each in results.items()} == {
        "bob": ("mini.ipynb",),
        "zoe": ("mini.ipynb",),
    }


def test_moodles_grading_worksheet_says_who_and_when(with_students, inbox):
    worksheet = inbox / "grades.csv"
    worksheet.write_text(
        "Identifier,Full name,Email address,Last modified (submission)\n"
        'Participant 12345,Somebody Else,bob@x.org,"Friday, 20 November 2026, 8:30 AM +0000"\n'
    )
    files = {"Participant_12345_assignsubmission_file/mini.ipynb": NOTEBOOK}
    archive = zipped(inbox / "m.zip", files)
    result = collect(with_students, "mini", archive, "moodle", worksheet)[0]
    assert result.student == "bob"
    assert stamp(with_students, "bob") == "2026-11-20 08:30:00 UTC"


def test_gradescope_says_who_and_when(with_students, inbox):
    metadata = """\
submission_1:
  :submitters:
  - :name: Bob Smith
    :sid: 'bob'
    :email: bob@x.org
  - :name: Zoë Ångström
    :sid: 'z1'
  :created_at: !ruby/object:ActiveSupport::TimeWithZone 2026-11-18 08:30:00.5 Z
submission_2:
  :submitters:
  - :name: New One
    :sid: '300'
  :created_at: 2026-11-20 23:30:00 -08:00
submission_3:
  :status: nobody
"""
    root = "assignment_9_export/"
    files = {
        f"{root}submission_metadata.yml": metadata,
        f"{root}submission_1/mini.ipynb": NOTEBOOK,
        f"{root}submission_1/data/net.pt": b"weights",
        f"{root}submission_2/mini.ipynb": NOTEBOOK,
        f"{root}submission_3/mini.ipynb": NOTEBOOK,
    }
    results = by_student(collect(with_students, "mini", zipped(inbox / "g.zip", files)))
    assert results["bob"].files == results["zoe"].files == ("data/net.pt", "mini.ipynb")
    assert stamp(with_students, "bob") == "2026-11-18 08:30:00 UTC"
    assert stamp(with_students, "300") == "2026-11-21 07:30:00 UTC"
    assert any("not in the grade book" in note for note in results["300"].notes)
    assert results["submission_3"].status == "refused"


@pytest.mark.parametrize("text", ["a: [", "- 1", "!!python/object/apply:os.system ['true']", ""])
def test_a_broken_gradescope_list_is_an_error_in_words(course, inbox, text):
    files = {"submission_metadata.yml": text, "submission_1/mini.ipynb": NOTEBOOK}
    with pytest.raises(CourseError, match=r"submission_metadata\.yml"):
        collect(course, "mini", zipped(inbox / "g.zip", files))


@pytest.mark.parametrize(
    "layout",
    [
        {"ann/mini.ipynb": NOTEBOOK, "bob.ipynb": NOTEBOOK},
        {"ann/mini/mini.ipynb": NOTEBOOK, "bob/mini/mini.ipynb": NOTEBOOK},
        {"all/ann/mini.ipynb": NOTEBOOK, "all/bob/mini.ipynb": NOTEBOOK},
        {"ann_mini.ipynb": NOTEBOOK, "mini_bob_final.ipynb": NOTEBOOK},
        {"ann.zip": zip_bytes({"mini.ipynb": NOTEBOOK}), "bob/mini.ipynb": NOTEBOOK},
        {"__MACOSX/ann/._mini.ipynb": b"", "ann/mini.ipynb": NOTEBOOK, "bob.ipynb": NOTEBOOK},
    ],
)
def test_plain_folders_and_files_are_one_per_student(with_students, inbox, layout):
    results = by_student(collect(with_students, "mini", zipped(inbox / "p.zip", layout)))
    assert set(results) == {"ann", "bob"}
    assert all(each.status == "new" for each in results.values())
    assert all(path.endswith(".ipynb") for each in results.values() for path in each.files)
    assert stamp(with_students, "ann") == "2026-11-20 08:30:00 UTC"


def test_a_folder_and_tar_files_are_read_too(course, inbox):
    (inbox / "ann").mkdir()
    (inbox / "ann" / "mini.ipynb").write_bytes(NOTEBOOK)
    os.utime(inbox / "ann" / "mini.ipynb", (THEN.timestamp(), THEN.timestamp()))
    assert collect(course, "mini", inbox)[0].files == ("mini.ipynb",)
    assert stamp(course, "ann") == "2026-11-20 08:30:00 UTC"
    for kind in ("", "gz", "bz2", "xz"):
        path = inbox.parent / f"class.tar{kind}"
        with tarfile.open(path, f"w:{kind}") as archive:
            archive.add(inbox / "ann", f"bob{kind}")
        assert collect(course, "mini", path)[0].student == f"bob{kind}"
        assert submitted(course, f"bob{kind}") == {"mini.ipynb", "timestamp.txt"}


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("smithbob", "Bob Smith", True),
        ("Smith, Bob", "Bob Smith", True),
        ("garcialopezmaria", "María García López", True),
        ("smithbob", "Bob Smithson", False),
        ("", "", False),
        ("bobsmith", "Bob Jones", False),
    ],
)
def test_names_are_compared_as_platforms_write_them(one, other, same):
    assert same_name(one, other) is same


@pytest.mark.parametrize(
    ("names", "preset"),
    [
        (["a_1_2_x.ipynb", "b_LATE_3_4_y.ipynb"], "canvas"),
        (["A B_1_assignsubmission_file_/x.ipynb"], "moodle"),
        (["e/submission_1/x.ipynb", "e/submission_metadata.yml"], "gradescope"),
        (["ann/x.ipynb", "bob/y.ipynb"], "plain"),
        ([], "plain"),
    ],
)
def test_the_scheme_is_seen_from_the_names(names, preset):
    entries = [archives.Entry(tuple(name.split("/")), 1, THEN, io.BytesIO) for name in names]
    assert guess(entries) == preset


# hostile archives


@pytest.mark.parametrize(
    "name",
    [
        "../../../gradebook.db", "/etc/passwd", "..\\..\\evil", "C:\\evil", "a/../../../b",
        "ann/../../../../gradebook.db", "ann/\x00evil", "ann/a\nb", "ann/" + "x" * 300,
        "ann/" + "d/" * 30 + "f",
    ],
)  # fmt: skip
def test_a_name_that_leads_elsewhere_is_refused(course, inbox, name):
    gradebook = course.root / "gradebook.db"
    gradebook.write_bytes(b"grades")
    path = inbox / "p.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("ann/mini.ipynb", NOTEBOOK)
        info = zipfile.ZipInfo("x")
        info.filename = info.orig_filename = name
        archive.writestr(info, b"evil")
    before = everything_below(course.root) - everything_below(inbox)
    gradebook.unlink()  # not a database: read by nobody here
    results = collect(course, "mini", path)
    gradebook.write_bytes(b"grades")
    new = everything_below(course.root) - before - {"inbox/p.zip"}
    assert new == {"submitted/ann/mini/mini.ipynb", "submitted/ann/mini/timestamp.txt"} | {
        each for each in new if each.endswith(".collected.txt")
    }
    notes = [note for each in results for note in each.notes]
    assert any("refused" in note or "characters" in note for note in notes)
    assert not any("\n" in note or "\x00" in note for note in notes)


def test_links_and_devices_are_refused(course, inbox):
    (inbox / "secret").write_text("the grade book")
    folder = inbox / "class"
    (folder / "ann").mkdir(parents=True)
    (folder / "ann" / "mini.ipynb").write_bytes(NOTEBOOK)
    (folder / "ann" / "link").symlink_to(inbox / "secret")
    (folder / "ann" / "folder").symlink_to(inbox)
    os.mkfifo(folder / "ann" / "pipe")
    with tarfile.open(inbox / "class.tar", "w") as archive:
        archive.add(folder, "")
        info = tarfile.TarInfo("ann/hard")
        info.type, info.linkname = tarfile.LNKTYPE, "ann/mini.ipynb"
        archive.addfile(info)
    with zipfile.ZipFile(inbox / "class.zip", "w") as archive:
        archive.writestr("ann/mini.ipynb", NOTEBOOK)
        link = zipfile.ZipInfo("ann/link")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, str(inbox / "secret"))
    for number, source in enumerate((folder, inbox / "class.tar", inbox / "class.zip")):
        target = Course(course.root / str(number))
        (target.root / "assignments").parent.mkdir(parents=True)
        (target.root / "nbgrader_config.py").write_text("c = get_config()\n")
        (target.root / "source" / "mini").mkdir(parents=True)
        (target.root / "source" / "mini" / "mini.ipynb").write_bytes(NOTEBOOK)
        result = by_student(collect(target, "mini", source))["ann"]
        assert result.files == ("mini.ipynb",)
        assert any("link" in note for note in result.notes)
        assert not any(path.is_symlink() for path in target.root.rglob("*"))


def test_a_bomb_is_refused_and_the_others_are_collected(course, inbox, monkeypatch):
    monkeypatch.setattr(archives, "SMALL_BYTES", 1000)
    files = {"eve/mini.ipynb": b"0" * 3_000_000, "ann/mini.ipynb": NOTEBOOK}
    results = by_student(collect(course, "mini", zipped(inbox / "p.zip", files)))
    assert results["eve"].status == "refused"
    assert "times its size" in results["eve"].notes[0]
    assert results["ann"].status == "new"


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_a_bomb_inside_a_submission_is_refused(course, inbox, monkeypatch, kind):
    monkeypatch.setattr(storing, "MAX_BYTES", 1_000_000)
    bomb = {"mini.ipynb": os.urandom(1000), "big": os.urandom(3_000_000)}
    if kind == "zip":
        content = zip_bytes(bomb)
    else:
        memory = io.BytesIO()
        with tarfile.open(fileobj=memory, mode="w") as archive:
            for name, data in bomb.items():
                info = tarfile.TarInfo(name)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
        content = gzip.compress(memory.getvalue().replace(bomb["big"], b"0" * 3_000_000))
    monkeypatch.setattr(storing, "MAX_BYTES", 4_000_000 if kind == "zip" else 1_000_000)
    if kind == "zip":
        monkeypatch.setattr(storing, "MAX_BYTES", len(content) + 500_000)
    (inbox / "eve").mkdir()
    (inbox / "eve" / f"submission.{kind}").write_bytes(content)
    result = collect(course, "mini", inbox)[0]
    assert "big" not in result.files
    assert any("too large" in note or "more than is allowed" in note for note in result.notes)
    assert sum(p.stat().st_size for p in course.submitted("eve", "mini").rglob("*")) < 2_000_000


def test_too_many_files_are_refused_before_they_are_listed(course, inbox, monkeypatch):
    monkeypatch.setattr(storing, "MAX_FILES", 50)
    many = zip_bytes({f"{i}.ipynb": b"" for i in range(200)})
    files = {"eve/submission.zip": many, "ann/mini.ipynb": NOTEBOOK}
    listed = []
    monkeypatch.setattr(archives, "_of_zip", lambda zf: listed.append(zf) or _of_zip(zf))
    results = by_student(collect(course, "mini", zipped(inbox / "p.zip", files)))
    assert any("more than 50 files" in note for note in results["eve"].notes)
    assert len(listed) == 1  # the class' archive only


_of_zip = archives._of_zip


def test_an_encrypted_or_damaged_file_is_refused(course, inbox):
    content = bytearray(zip_bytes({"ann/mini.ipynb": NOTEBOOK, "bob/mini.ipynb": NOTEBOOK}))
    for marker, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        content[content.index(marker) + offset] |= 1
    at = content.rindex(b"PK\3\4")
    content[at + 30 + len("bob/mini.ipynb") + 3] ^= 0xFF
    (inbox / "p.zip").write_bytes(content)
    results = by_student(collect(course, "mini", inbox / "p.zip"))
    assert "encrypted" in results["ann"].notes[0]
    assert "could not be unpacked" in results["bob"].notes[0]


@pytest.mark.parametrize(
    "content", [b"", b"PK\5\6", b"text", b"PK\3\4" * 100, b"\x1f\x8b\x08" * 9]
)
def test_no_archive_at_all_is_an_error_in_words(course, inbox, content):
    (inbox / "p.zip").write_bytes(content)
    with pytest.raises(CourseError, match=r"p\.zip"):
        collect(course, "mini", inbox / "p.zip")
    assert not (course.root / "submitted").exists()


def test_names_that_some_computer_takes_for_one_do_not_overwrite_each_other(course, inbox):
    files = {
        "ann/mini.ipynb": NOTEBOOK,
        "ann/MINI.ipynb": b"upper",
        "ann/e\u0301.txt": b"decomposed",
        "ann/\u00e9.txt": b"composed",
        "ann/data": b"file",
        "ann/data/net.pt": b"below a file",
        "ann/what?.txt": b"a question",
        "ann/CON.txt": b"a device",
    }
    result = collect(course, "mini", zipped(inbox / "p.zip", files))[0]
    assert result.files == ("_CON.txt", "data", "mini.ipynb", "what_.txt", "é.txt")
    assert (course.submitted("ann", "mini") / "mini.ipynb").read_bytes() == NOTEBOOK
    assert sum("some computers" in note for note in result.notes) == 3


def test_a_students_own_archive_is_unpacked_once(course, inbox):
    inner = zip_bytes({"deeper.ipynb": NOTEBOOK})
    own = zip_bytes({"work/mini.ipynb": NOTEBOOK, "again.zip": inner, "../out.ipynb": b"x"})
    files = {"ann/submission.zip": own, "bob/mini.ipynb": NOTEBOOK, "bob/data.zip": zip_bytes({})}
    results = by_student(collect(course, "mini", zipped(inbox / "p.zip", files)))
    assert results["ann"].files == ("work/mini.ipynb",)
    assert any("itself an archive" in note for note in results["ann"].notes)
    assert any("leads out" in note for note in results["ann"].notes)
    assert results["bob"].files == ("data.zip", "mini.ipynb")  # data, for all anybody knows


# students


@pytest.mark.parametrize(
    "student",
    ["", ".", "..", "../x", "a/b", "a\\b", "=1+1", "+1", "-x", "@x", "a\nb", 'a"b', "a\x00",
     " a", "a ", "a.", "NUL", "com1.x", "x" * 200, ".hidden", "~root", "a:b"],
)  # fmt: skip
def test_an_impossible_student_id_is_a_sentence(student):
    sentence = student_id_problem(student)
    assert sentence.startswith("The student id")
    assert "\n" not in sentence


@pytest.mark.parametrize(
    "student", ["ann", "a.b@x.org", "Smith, Bob", "O'Brien", "Zoë", "a+b", "12"]
)
def test_a_possible_student_id_is_accepted(student):
    assert student_id_problem(student) == ""


def test_a_bad_id_is_refused_and_the_others_are_collected(course, inbox):
    files = {"=1+1/mini.ipynb": NOTEBOOK, "ann/mini.ipynb": NOTEBOOK}
    results = by_student(collect(course, "mini", zipped(inbox / "p.zip", files)))
    assert results["=1+1"].status == "refused"
    assert results["ann"].status == "new"
    assert [path.name for path in (course.root / "submitted").iterdir()] == ["ann"]


@pytest.mark.parametrize("student", ["../x", "a/b", "..", "", "a\\b", "a\0b"])
def test_no_folder_of_the_course_can_be_reached_by_an_id(course, student):
    with pytest.raises(CourseError, match="folder"):
        course.submitted(student, "mini")


def test_two_who_claim_to_be_one_student_are_both_refused(with_students, inbox):
    files = {
        "Bob Smith_1_assignsubmission_file/mini.ipynb": b"one",
        "Bob Smith_2_assignsubmission_file/mini.ipynb": b"two",
        "Zoë Ångström_3_assignsubmission_file/mini.ipynb": NOTEBOOK,
    }
    results = collect(with_students, "mini", zipped(inbox / "m.zip", files))
    assert [each.status for each in results] == ["refused", "refused", "new"]
    assert "claim to be bob" in results[0].notes[0]


# times, and what is there already


def test_a_forged_timestamp_never_counts(course, inbox):
    forged = "2020-01-01 00:00:00 UTC"
    files = {"ann/mini.ipynb": NOTEBOOK, "ann/timestamp.txt": forged, "ann/.collected.txt": "hi"}
    own = zip_bytes({"mini.ipynb": NOTEBOOK, "Timestamp.TXT": forged})
    files["bob/submission.zip"] = own  # entries without a year: 1980
    results = by_student(collect(course, "mini", zipped(inbox / "p.zip", files)))
    for student in ("ann", "bob"):
        assert stamp(course, student) == "2026-11-20 08:30:00 UTC"
        assert any("time of receipt" in note for note in results[student].notes)
    assert "hi" not in (course.submitted("ann", "mini") / ".collected.txt").read_text()


def test_an_archive_without_times_counts_as_downloaded(course, inbox):
    path = inbox / "p.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(zipfile.ZipInfo("ann/mini.ipynb"), NOTEBOOK)  # 1980
    os.utime(path, (THEN.timestamp(), THEN.timestamp()))
    collect(course, "mini", path)
    assert stamp(course, "ann") == "2026-11-20 08:30:00 UTC"


def test_only_what_is_newer_takes_the_place_of_what_is_there(course, inbox):
    def hand_in(content: bytes, when: datetime) -> str:
        archive = zipped(inbox / "p.zip", {"ann/mini.ipynb": content}, when)
        return collect(course, "mini", archive)[0].status

    def there() -> bytes:
        return (course.submitted("ann", "mini") / "mini.ipynb").read_bytes()

    assert hand_in(b"first", THEN) == "new"
    assert hand_in(b"first", THEN) == "unchanged"
    assert hand_in(b"second", THEN + timedelta(hours=1)) == "updated"
    assert there() == b"second"
    assert stamp(course, "ann") == "2026-11-20 09:30:00 UTC"
    assert hand_in(b"first", THEN) == "older"
    assert there() == b"second"
    assert stamp(course, "ann") == "2026-11-20 09:30:00 UTC"
    (course.submitted("ann", "mini") / "mini.ipynb").write_bytes(b"mended by hand just now")
    assert hand_in(b"third", THEN + timedelta(hours=2)) == "older"


def test_a_resubmission_leaves_no_file_of_the_first(course, inbox):
    first = {"ann/mini.ipynb": b"1", "ann/old.pt": b"1"}
    collect(course, "mini", zipped(inbox / "p.zip", first))
    second = zipped(inbox / "p.zip", {"ann/mini.ipynb": b"2"}, THEN + timedelta(days=1))
    collect(course, "mini", second)
    assert submitted(course, "ann") == {"mini.ipynb", "timestamp.txt"}


def test_a_resubmission_of_nothing_usable_leaves_the_first(course, inbox, monkeypatch):
    collect(course, "mini", zipped(inbox / "p.zip", {"ann/mini.ipynb": NOTEBOOK}))
    monkeypatch.setattr(storing, "MAX_BYTES", 5)
    later = zipped(inbox / "p.zip", {"ann/mini.ipynb": b"too much"}, THEN + timedelta(days=1))
    result = collect(course, "mini", later)[0]
    assert result.status == "refused"
    assert submitted(course, "ann") == {"mini.ipynb", "timestamp.txt"}


@pytest.mark.parametrize("step", range(4))
def test_killed_while_collecting_leaves_the_old_or_the_new(course, inbox, monkeypatch, step):
    collect(course, "mini", zipped(inbox / "p.zip", {"ann/mini.ipynb": b"old"}))
    later = zipped(inbox / "p.zip", {"ann/mini.ipynb": b"new"}, THEN + timedelta(days=1))
    steps = iter(range(100))

    class Killed(BaseException):
        pass

    def dying(function):
        def die_at_the_step(*args, **kwargs):
            if next(steps) == step:
                raise Killed
            return function(*args, **kwargs)

        return die_at_the_step

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", dying(Path.rename))
        patch.setattr(storing, "write_text", dying(storing.write_text))
        patch.setattr(storing.shutil, "rmtree", dying(lambda *args, **kwargs: None))
        with contextlib.suppress(Killed):
            collect(course, "mini", later)
    results = collect(course, "mini", later)
    assert results[0].status in ("updated", "unchanged")
    assert (course.submitted("ann", "mini") / "mini.ipynb").read_bytes() == b"new"
    names = {path.name for path in course.submitted("ann", "mini").parent.iterdir()}
    assert names == {"mini"}


def test_what_collecting_refused_is_told_the_student(course, template, inbox):
    own = zip_bytes({"../out.ipynb": b"x", "mini.ipynb": NOTEBOOK})
    collect(course, "mini", zipped(inbox / "p.zip", {"ann/submission.zip": own}))
    intake = take_in(course.submitted("ann", "mini"), template)
    assert any("leads out of its folder" in note for note in intake.notes)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"preset": "blackboard"}, "canvas"),
        ({"assignment": "nope"}, "mini"),
        ({"archive": Path("/no/such/file")}, "no file"),
        ({"roster": Path("/no/such/file")}, "roster"),
    ],
)
def test_a_wrong_argument_is_an_error_in_words(course, inbox, change, says):
    arguments = {"assignment": "mini", "archive": inbox, "preset": "auto", "roster": None}
    with pytest.raises(CourseError, match=says):
        collect(course, **{**arguments, **change})


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "ID\n\n", "\x00"])
def test_a_roster_without_students_is_an_error_in_words(course, inbox, text):
    (inbox / "r.csv").write_text(text)
    with pytest.raises(CourseError, match="roster"):
        collect(course, "mini", inbox, roster=inbox / "r.csv")


# anything at all

PIECES = st.sampled_from(
    ["ann", "mini.ipynb", "..", ".", "", "/", "\\", "C:", "a_1_2_b.ipynb", "\x00", "é", "e\u0301",
     "X_1_assignsubmission_file_", "submission_metadata.yml", "submission_1", "LPT1", "x.zip"]
)  # fmt: skip
NAMES = st.lists(PIECES | st.text(max_size=8), min_size=1, max_size=5).map("/".join)
FILES = st.dictionaries(
    NAMES, st.binary(max_size=60) | st.just(zip_bytes({"../a": b""})), max_size=6
)
ONCE = settings(
    max_examples=60,
    deadline=None,
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@ONCE
@given(files=FILES, preset=st.sampled_from(["auto", "canvas", "moodle", "gradescope", "plain"]))
def test_no_archive_crashes_or_writes_elsewhere(course, files, preset):
    path = course.root / "any.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo("x")
            info.filename = info.orig_filename = name
            try:
                archive.writestr(info, content)
            except UnicodeEncodeError:
                continue
    before = everything_below(course.root)
    try:
        results = collect(course, "mini", path, preset)
    except CourseError:
        results = []
    new = everything_below(course.root) - before
    assert all(name.startswith("submitted/") for name in new)
    assert all("\n" not in note for each in results for note in each.notes)
    for each in results:
        if each.files:
            assert course.submitted(each.student, "mini").is_dir()
    json.dumps([each.notes for each in results])


@ONCE
@given(data=st.data(), files=FILES)
def test_no_damage_to_an_archive_crashes(course, data, files):
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("ann/mini.ipynb", NOTEBOOK * 3)
        archive.writestr("submission_metadata.yml", "a: b")
    content = bytearray(memory.getvalue())
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] = data.draw(st.integers(0, 255))
    path = course.root / "any.zip"
    path.write_bytes(content)
    with contextlib.suppress(CourseError):
        collect(course, "mini", path)


@given(st.text(max_size=40) | NAMES)
def test_a_safe_path_stays_in_its_folder(name):
    try:
        parts = safe_parts(name)
    except Refused:
        return
    home = Path("/home/somebody/submitted")
    assert os.path.normpath(home.joinpath(*parts)) == str(home.joinpath(*parts))
    assert home in home.joinpath(*parts).parents
    assert safe_parts("/".join(parts)) == parts
