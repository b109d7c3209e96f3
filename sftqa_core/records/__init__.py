"""The vocabulary: every record that crosses a border between parts of the program.

Settings say what to do, results say what came out; both are frozen and both become JSON. Per-fact data is not
here: it travels as tables whose columns are documented in knowledge/facts.py, memory/scores.py and
evaluation/predictions.py.
"""

from sftqa_core.records.asking import ASKED, MOST_COLUMNS, RUN, Candidate, Column, Question, Reply, Sampled, Scored, Step, Warm
from sftqa_core.records.comparison import MEANS, ComparedBase, ComparedRun, Comparison, DomainMeans, MeanAccuracy, PairTest, Remade
from sftqa_core.records.exposing import COUNT_SERVICE, AskedExposures, ExposurePlan, ExposureRanks, ExposureSettings
from sftqa_core.records.inside import MEASURES, InsideSettings
from sftqa_core.records.job import ACTIVE, DEVICELESS, KEPT, MOVES, OVER, Job, Resources
from sftqa_core.records.labels import LABELLED, Deleted, Label, Labelled
from sftqa_core.records.making import SPREADS, CorpusSettings, PretrainSettings, Spread
from sftqa_core.records.probes import ANSWER_KINDS, DOMAIN_NAMES, DOMAINS, SPLITS, Completed, CompleteSettings, ProbeSettings
from sftqa_core.records.reports import (
    Agreement,
    Check,
    CrossTable,
    FetchFactsSettings,
    FetchSettings,
    ModelCard,
    Preflight,
    SourcePreview,
    SourceReport,
)
from sftqa_core.records.schemes import METHODS, PAPER, SCHEME_HELP, SCHEMES, SLICK, LevelScheme, SamplerSettings, read_cutoffs, with_cutoffs
from sftqa_core.records.studying import STUDIES, Finding, StudyReport, StudySettings
from sftqa_core.records.sweeping import RateAccuracy, SweepReport, SweepSettings
from sftqa_core.records.tuning import PROMPTS, DomainAccuracy, LevelAccuracy, PromptFormat, RunSummary, TrainSettings, prompt_format
