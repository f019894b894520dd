"""Pictures on disk, with several processes on one folder and a disk that says no."""

import os
import threading
from pathlib import Path

import pytest

from jobs.blobs.spool import MAX_AGE_SECONDS, Spool

NAMES = [f"images/acme/2026-01-01/{number}.png" for number in range(40)]


def test_what_is_kept_is_found_under_its_name_until_it_is_dropped(tmp_path):
    spool = Spool(tmp_path / "spool")

    assert spool.keep(NAMES[0], "job_1", b"a\nb")
    assert (spool.find(NAMES[0]), spool.job_of(NAMES[0]), spool.names()) == (b"a\nb", "job_1", [NAMES[0]])
    spool.drop(NAMES[0])
    spool.drop(NAMES[0])
    assert (spool.find(NAMES[0]), spool.names()) == (None, [])


def test_a_file_that_another_worker_drops_between_the_listing_and_the_look_at_it_is_passed_over(tmp_path, monkeypatch):
    spool = Spool(tmp_path)
    spool.keep(NAMES[0], "job_1", b"theirs")
    stat = Path.stat

    def dropped(path, **more):
        if path.name.endswith("0.png.picture"):
            path.unlink(missing_ok=True)
        return stat(path, **more)

    monkeypatch.setattr(Path, "stat", dropped)

    assert spool.keep(NAMES[1], "job_2", b"ours")
    assert spool.names() == [NAMES[1]]


def test_workers_that_keep_and_drop_at_once_do_not_disturb_each_other(tmp_path):
    kept = []

    def work(number):
        spool = Spool(tmp_path)
        for name in NAMES:
            kept.append(spool.keep(f"{name}.{number}", "job_1", bytes(1000)))
            spool.drop(f"{name}.{number}")

    workers = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    assert kept == [True] * 4 * len(NAMES)


def test_a_disk_that_takes_nothing_is_a_no_and_leaves_no_half(tmp_path, monkeypatch):
    spool = Spool(tmp_path)

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)

    assert not spool.keep(NAMES[0], "job_1", b"ours")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a.png.picture", "a.png.picture.0123abcd.draft"])
def test_what_is_older_than_a_day_goes(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"job_1\n")
    long_ago = path.stat().st_mtime - MAX_AGE_SECONDS - 1
    os.utime(path, (long_ago, long_ago))

    assert Spool(tmp_path).names() == []
    assert not path.exists()
