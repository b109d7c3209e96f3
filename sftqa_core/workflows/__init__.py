"""The verbs: what pages, command line and jobs all call. Importing this loads neither torch nor pandas.

`lookups` looks things up, `forecast` tells what work will cost, `preflight` what stands in its way, `work` does it.
"""

from sftqa_core.knowledge.sources import is_here as source_is_here
from sftqa_core.knowledge.sources import source_names as sources
from sftqa_core.memory.profiles import completions, profile, profile_stamp
from sftqa_core.models.catalogue import list_models as models
from sftqa_core.planning.fit import smaller_footprint, trial
from sftqa_core.planning.forecast import forecast
from sftqa_core.planning.offers import add_model, offered_models, remove_model
from sftqa_core.planning.preflight import preflight, tell
from sftqa_core.studies.config import read_run, read_study, run_of, run_yaml, study_of, study_yaml
from sftqa_core.training.runs import read_run as run
from sftqa_core.training.runs import shown_runs as runs
from sftqa_core.workflows.asking.ask_models import Asked, ask
from sftqa_core.workflows.asking.questions import (
    KnownFact,
    KnownLevel,
    base_models,
    column,
    columns,
    example_questions,
    known_level,
    with_right_answers,
)
from sftqa_core.workflows.bundles.bundle_imports import import_bundle, import_upload, imported_bundle, imported_bundles, remove_bundle
from sftqa_core.workflows.bundles.bundle_packing import pack
from sftqa_core.workflows.consistency_reports import Consistency, consistency, consistency_change, fact_answers, fact_consistency
from sftqa_core.workflows.deleting import delete, deleted, find_deleted, size_on_disk, undelete
from sftqa_core.workflows.exposures import Exposures, ask_exposures, exposure_plan, exposures, exposures_stamp
from sftqa_core.workflows.gallery import Prepared, gallery
from sftqa_core.workflows.label_files import Labels, change_label, find, id_of, labels
from sftqa_core.workflows.label_files import stamp as labels_stamp
from sftqa_core.workflows.lookups import (
    add_upload,
    alias_rows,
    beside_base,
    bring_facts,
    built_in_models,
    default_learning_rate,
    download,
    facts,
    facts_saying,
    moved_levels,
    own_relations,
    preset,
    preview,
    preview_upload,
    prompt_preview,
    run_looks,
    run_part,
    run_rule,
    save_aliases,
    save_relations,
    source_notes,
    trust,
    unmade_models,
    why_no_chat,
)
from sftqa_core.workflows.real_reports import RealModels, RealStudy, real_levels, real_models, real_stamp
from sftqa_core.workflows.study_reports import (
    KnownStudy,
    finished_studies,
    known_report,
    more_seeds,
    published,
    shown_studies,
    studies,
    study,
    study_name,
    study_progress,
    study_report,
    told_apart,
)
from sftqa_core.workflows.tested.comparisons import Compared, compare
from sftqa_core.workflows.tested.fact_stories import FactInRun, fact_in_runs, fact_levels
from sftqa_core.workflows.tested.insides import (
    beside,
    fact_inside,
    inside_settings,
    inside_summary,
    inside_words,
    looks,
    read_look,
    read_looks,
    same_setting,
)
from sftqa_core.workflows.tested.lessons import compare_sizes, facts_of_levels, quiz
from sftqa_core.workflows.tested.remaking import check_again, made_again, settings_again
from sftqa_core.workflows.tested.run_lists import finished_run, run_bytes, run_list
from sftqa_core.workflows.tested.tested_models import cell_names, known_settings, stamp_of, tested
from sftqa_core.workflows.upkeep import unreadable_results
from sftqa_core.workflows.work import complete, export, fetch, inside, preload, pretrain, probe, run_job, select, sweep, sweep_report, train
