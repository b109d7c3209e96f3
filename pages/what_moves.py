"""What moves? Memory levels probed again after tuning, beside the base model probed again."""

from pages._ui import address, panels
from pages._ui.studies import shift_panel, study_panels

settings, report, tables = study_panels.study_head(
    "shift", "Levels have an error: a second probe of the base model assigns another level to some facts. Only more than that is a change."
)
if tables["transitions"].empty:
    panels.empty("Some test facts have no level yet: the first or the second probe is not finished.")
    address.over()

model = study_panels.pick_one_model(settings)
shift_panel.moves(tables, model, settings.scheme.labels)
study_panels.study_tail(report, tables, model)
