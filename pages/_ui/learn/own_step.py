"""Step 6: the doors out of the lesson, to one's own facts."""

from pages._ui import resources
from pages._ui.learn import lesson
from pages._ui.learn.learn_reads import MODEL
from pages._ui.links import page_link
from pages._ui.titles import source_name
from pages._ui.wording import literal
from sftqa_core.knowledge.sources import ENTITY_QUESTIONS, is_built_in

QUESTION = "And what about your own facts?"
WHY = (
    "Everything in this lesson works with any facts: a table of subjects, relations and answers, or of questions and answers. Which level "
    "a fact has depends on the model. The built-in models have read only the invented world, so they know no fact of yours: expect L0, "
    "and little to tune. Take a model that has read about them, or pre-train a tiny one on them.\n\n"
    "What a tiny model shows on your facts demonstrates the mechanism; it is no evidence about large models."
)
TEACH = (
    "- Homework: 60 facts of a field that the class knows, as a table with the columns relation, subject, object.\n"
    "- Before anything is measured: which of them will a large model know? Write the guesses down.\n"
    "- Under 30 facts at a level nothing can be told. How many facts does your question need?"
)


def draw() -> None:
    """The way to one's own facts, and to everything that the lesson left out."""
    page_link("pages/own_facts.py", "Make a tiny model that has read your facts", "learn-own", icon=":material/upload_file:")
    page_link("pages/lab.py", "Tune with any settings in the Lab", "learn-lab", icon=":material/science:")
    page_link("pages/how_much_data.py", "The whole study: how much data?", "learn-study", icon=":material/straighten:")
    own = [source for source in resources.sources() if source != ENTITY_QUESTIONS and not is_built_in(source)]
    if own:
        names = ", ".join(literal(source_name(source)) for source in own[:5]) + (f" and {len(own) - 5:,} more" if len(own) > 5 else "")
        lesson.outcome(f"Facts of your own that are here already: {names}. {literal(MODEL)} has read none of them: expect L0.")
    else:
        lesson.outcome(f"No facts of your own are here yet. {literal(MODEL)} has read only its invented world: expect L0 on yours.")


SCREENS = (draw,)
