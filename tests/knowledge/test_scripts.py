"""Whole words in scripts that are written without spaces, or attach small words to names."""

import pytest

from sftqa_core.knowledge import scripts
from sftqa_core.knowledge.matching import Matcher

FOUND = [
    ("日本の首都は東京です", "東京"),
    ("首都是北京。", "北京"),
    ("2020年東京オリンピック", "東京"),
    ("IBM東京研究所", "東京"),
    ("首都はパリです", "パリ"),
    ("首都はﾊﾟﾘです", "パリ"),
    ("彼はNBAの選手", "NBA"),
    ("1990年に生まれた", "1990"),
    ("日本の首都はとうきょうです", "とうきょう"),
    ("人口は12万人", "12万人"),
    ("เมืองหลวงคือกรุงเทพมหานคร", "กรุงเทพมหานคร"),
    ("ประเทศไทยอยู่ในเอเชีย", "ไทย"),
    ("ນະຄອນຫຼວງຂອງລາວແມ່ນວຽງຈັນ", "ລາວ"),
    ("រាជធានីគឺភ្នំពេញនៅកម្ពុជា", "ភ្នំពេញ"),
    ("မြန်မာနိုင်ငံ၏ရန်ကုန်မြို့", "ရန်ကုန်"),
    ("대한민국의 수도는 서울이다.", "서울"),
    ("그는 서울에서 태어났다", "서울"),
    ("그는 서울에서는 살았다", "서울"),
    ("그는 서울", "서울"),
    ("수도는 파리입니다", "파리"),
    ("그는 NBA의 선수", "NBA"),
    ("1990년에 태어났다", "1990"),
    ("وُلد في القاهرة", "القاهرة"),
    ("سافر إلى باريس والقاهرة معا", "القاهرة"),
    ("ذهب للقاهرة", "القاهرة"),
    ("عاش بباريس", "باريس"),
    ("وَبِباريس عاش", "باريس"),
    ("الـباريس", "باريس"),
    ("הוא נולד בירושלים", "ירושלים"),
    ("ומירושלים יצא", "ירושלים"),
    ("שבישראל", "ישראל"),
]  # fmt: skip
NOT_FOUND = [
    ("インドネシアの首都", "インド"),
    ("ラーメン", "ラ"),
    ("人々の声", "人"),
    ("か\u3099", "か"),
    ("เกาะ", "กา"),  # a vowel that is written first belongs to the letter behind it
    ("กาะ", "กา"),
    ("กิน", "ก"),
    ("១២៣", "១២"),
    ("๑๒๓", "๑๒"),
    ("서울대학교에 다녔다", "서울"),
    ("북서울에서", "서울"),
    ("서울은행이다", "서울"),
    ("서울도로", "서울"),
    ("مصرية", "مصر"),
    ("بالطمصر", "مصر"),
    ("ירושלימי", "ירושלים"),
    ("גבירושלים", "ירושלים"),
    ("Kyparissia", "Paris"),
    ("Москвачи", "Москва"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "answer"), FOUND)
def test_a_name_is_found_where_its_script_writes_it(text, answer):
    """Within a sentence without spaces, and with the particles and prefixes that belong to the sentence."""
    assert Matcher().find(text, [answer]) == answer


@pytest.mark.parametrize(("text", "answer"), NOT_FOUND)
def test_a_part_of_another_word_is_not_found(text, answer):
    """Where letters before or behind make another word of it."""
    assert Matcher().find(text, [answer]) is None


@pytest.mark.parametrize(("text", "answer"), [("東京都", "京都"), ("서울고", "서울"), ("ولاء", "لاء")])
def test_known_errors_are_hits(text, answer):
    """What the rule can't tell: a longer name of Han, a name that ends like a particle, one that begins like a prefix."""
    assert Matcher().find(text, [answer]) == answer


@pytest.mark.parametrize(
    ("text", "answer", "found"),
    [
        ("東京", "東京", False),  # a mark may follow
        ("東京で", "東京", True),
        ("東京\u200b", "東京", False),
        ("か", "か", False),
        ("서울", "서울", False),
        ("서울은", "서울", False),  # it may become the name of a bank
        ("서울은 ", "서울", True),
        ("서울은행", "서울", False),
        ("القاهرة", "القاهرة", False),
        ("والقاهرة،", "القاهرة", True),
        ("U.S", "U.S.", False),
        ("U.S.", "U.S.", False),
        ("U.S. ", "U.S.", True),
        ("U.S,", "U.S.", True),
        ("Toledo\u200d", "Toledo", False),
    ],
)
def test_an_open_text_is_certain_only_where_nothing_can_undo_it(text, answer, found):
    """A hit of a row that is still being drawn holds whatever comes."""
    assert Matcher().compile([answer]).find(text, closed=False) == (answer if found else None)


def test_the_lists_are_finite_and_each_of_them_works():
    """Every particle behind a Korean name, and the prefixes before an Arabic and a Hebrew one."""
    for particle in scripts.PARTICLES:
        assert Matcher().find(f"그것은 광주{particle} 그렇다", ["광주"]) == "광주", particle
        for more in scripts.AFTER_PARTICLES:
            assert Matcher().find(f"광주{particle}{more}.", ["광주"]) == "광주", particle + more
    for prefix in ("و", "ف", "ب", "ك", "ل", "ال", "وال", "فال", "بال", "كال", "وبال", "لل", "ولل", "وب", "ول"):
        assert Matcher().find(f"قال {prefix}مدينة هنا", ["مدينة"]) == "مدينة", prefix
    for prefix in ("ו", "ה", "ב", "כ", "ל", "מ", "ש", "וה", "וב", "של", "שב", "כש", "ומה", "מה", "ושה"):
        assert Matcher().find(f"אמר {prefix}חיפה כאן", ["חיפה"]) == "חיפה", prefix
