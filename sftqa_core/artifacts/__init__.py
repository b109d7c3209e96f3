"""Results on disk: a folder is complete or it is not there.

A result is written into a temporary folder beside its place, its manifest (settings, versions, a SHA-256 for each
file) is written last, all is flushed to the disk, and the folder is renamed into place. A folder without a manifest was
never finished. `disk` writes and sweeps up after killed processes, `folders` reads and checks results, `refusals` turns what a
disk refuses into sentences, `kept` caches values in RAM.
"""

from sftqa_core.artifacts.disk import is_dead, is_set_aside, keep_json, left_behind, remove, set_aside, write_bytes, write_json
from sftqa_core.artifacts.folders import (
    MANIFEST,
    SCHEMA,
    beside,
    checksums,
    damaged_files,
    finished,
    is_finished,
    other_version,
    place_of,
    read_file,
    read_kept,
    read_manifest,
    require_whole,
    seal,
    sha256,
    versions,
    write_folder,
)
from sftqa_core.artifacts.refusals import fetching, in_sentence, in_words, refusal, storing
