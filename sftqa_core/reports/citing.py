"""BibTeX of what a report rests on: the papers whose method it follows, the facts, a recipe's papers, and this program."""

from __future__ import annotations

import re
from collections.abc import Iterable

from sftqa_core.artifacts import program_version
from sftqa_core.knowledge.atlas import is_atlas
from sftqa_core.records import StudySettings, TrainSettings

SIXTY = """@misc{ye2024sixty,
  title = {60 Data Points are Sufficient to Fine-Tune {LLMs} for Question-Answering},
  author = {Ye, Junjie and Yang, Yuming and Zhang, Qi and Gui, Tao and Huang, Xuanjing and Wang, Peng and Shi, Zhongchao and
            Fan, Jianping},
  year = {2024},
  eprint = {2409.15825},
  archivePrefix = {arXiv}
}"""
FOLLOW_UP = """@inproceedings{ye2025analyzing,
  title = {Analyzing the Effects of Supervised Fine-Tuning on Model Knowledge from Token and Parameter Levels},
  author = {Ye, Junjie and Yang, Yuming and Nan, Yang and Li, Shuo and Zhang, Qi and Gui, Tao and Huang, Xuanjing and Wang, Peng and
            Shi, Zhongchao and Fan, Jianping},
  booktitle = {Proceedings of the 2025 Conference on Empirical Methods in Natural Language Processing},
  pages = {471--513},
  year = {2025},
  note = {arXiv:2509.16596}
}"""
SLICK = """@misc{gekhman2024does,
  title = {Does Fine-Tuning {LLMs} on New Knowledge Encourage Hallucinations?},
  author = {Gekhman, Zorik and Yona, Gal and Aharoni, Roee and Eyal, Matan and Feder, Amir and Reichart, Roi and Herzig, Jonathan},
  year = {2024},
  eprint = {2405.05904},
  archivePrefix = {arXiv}
}"""
ENTITY_QUESTIONS = """@inproceedings{sciavolino2021simple,
  title = {Simple Entity-Centric Questions Challenge Dense Retrievers},
  author = {Sciavolino, Christopher and Zhong, Zexuan and Lee, Jinhyuk and Chen, Danqi},
  booktitle = {Proceedings of the 2021 Conference on Empirical Methods in Natural Language Processing},
  year = {2021}
}"""
_KNOWN = {"2409.15825": SIXTY, "2509.16596": FOLLOW_UP, "2405.05904": SLICK}
_NAMED = re.compile(r"(\d{4}\.\d{4,5})(?: \(([^()]+)\))?")  # in a recipe's source: arXiv's number, and what it is called


def tool() -> str:
    """This program's own entry."""
    return f"""@software{{sftqa_explorer,
  title = {{{{SFT-QA Explorer}}: what fine-tuning does to what a language model knows}},
  author = {{{{The SFT-QA Explorer contributors}}}},
  version = {{{program_version()}}}
}}"""


def bibtex(settings: Iterable[TrainSettings | StudySettings]) -> str:
    """The entries of these runs or studies, each once. A recipe's paper has the number that is known of it; its authors are to be added."""
    entries = [SIXTY, FOLLOW_UP]
    for one in settings:
        entries += [SLICK] if one.scheme.few_shot else []
        entries += [ENTITY_QUESTIONS] if "entity" in one.source.lower() and not is_atlas(one.source) else []
        entries += [_KNOWN.get(number) or _entry(number, name) for number, name in _NAMED.findall(one.recipe.source if one.recipe else "")]
    return "\n\n".join(dict.fromkeys([*entries, tool()]))


def _entry(number: str, name: str) -> str:
    named = f"  title = {{{name}}},\n" if name else ""
    key, year = f"arxiv{number.replace('.', '')}", f"20{number[:2]}"
    return f"@misc{{{key},\n{named}  year = {{{year}}},\n  eprint = {{{number}}},\n  archivePrefix = {{arXiv}}\n}}"
