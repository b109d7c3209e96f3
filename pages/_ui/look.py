"""What the theme in .streamlit/config.toml has no option for: the page's own head.

If a later Streamlit names its parts otherwise, a rule finds nothing, and nothing breaks.
"""

# Streamlit draws its first picture for a narrow page and widens it when a script says so: everything would jump to the left.
_WIDE = """
div.stMainBlockContainer.block-container { max-width: initial; }
@media (min-width: 864px) { div.stMainBlockContainer.block-container { padding-left: 5rem; padding-right: 5rem; } }
"""
# Rules for the whole page hold in boxes over it, too, which are no part of .stApp.
# White words on the theme's own blue read at 4.5 to 1 only if that blue is too dark for words on the dark page.
_FILLED = """
:root body button[data-testid="stBaseButton-primary"]:enabled, :root body button[data-testid="stBaseButton-primaryFormSubmit"]:enabled,
:root body [data-testid="stMultiSelect"] [data-tag] { background-color: #2b66b1; border-color: #2b66b1; color: #ffffff; }
:root body button[data-testid="stBaseButton-primary"]:enabled:hover { background-color: #23549a; }
"""
# Mixed from the colour of the words around: which of both themes it is, a box over the page cannot tell (as light-dark would have to).
_OFF = """
:root body button:disabled, :root body label[data-disabled="true"], :root body input:disabled {
  color: color-mix(in srgb, currentcolor 30%, #808080); opacity: 1;
}
"""
# Streamlit's own colours of words in code read at 2.6 to 3.5 to 1.
_CODE = ':root body [data-testid="stCode"] .token { color: inherit; } ' + "".join(
    f':root body [data-testid="stCode"] .token.{kind} {{ color: color-mix(in srgb, currentcolor 60%, {hue}); }} '
    for kind, hue in {
        "comment": "#808080", "variable": "#1f83d6", "function": "#1f83d6", "property": "#1f83d6", "key": "#d6701f", "number": "#12a186",
        "boolean": "#12a186", "string": "#2f9e4f",
    }.items()
)  # fmt: skip
# The tools of every page stand beside the title, where there is room.
_TOOLS = """
@media (min-width: 640px) {
  .stApp .st-key-page-tools { margin-bottom: -3.5rem; position: relative; z-index: 1; pointer-events: none; }
  .stApp .st-key-page-tools button { pointer-events: auto; }
}
"""
# Columns stay in line where one of them has a longer title.
_HEADS = """
@media (min-width: 864px) { .stApp [class*="st-key-high-head-"] { min-height: 3.1rem; } }
"""
# As high as the fields beside it, so that labels in one row stand on one line.
_EVEN = """
.stApp [data-testid="stButtonGroup"] button[data-variant="segmented_control"] { min-height: 2.5rem; }
"""
# A part of the page that the browser still has to load has a flat placeholder; as high as what comes, nothing below it jumps.
_RESERVED = """
.stElementContainer[class*="st-key-pick-"]:not([class*="-published"]):has([data-testid="stSkeleton"]),
.stElementContainer[class*="st-key-lab-"]:not(.st-key-lab-kind):has([data-testid="stSkeleton"]),
.stElementContainer[class*="st-key-study-"]:has([data-testid="stSkeleton"]),
.stElementContainer[class*="st-key-change-"]:has([data-testid="stSkeleton"]),
.stElementContainer[class*="st-key-fact-"]:has([data-testid="stSkeleton"]),
.stElementContainer[class*="st-key-probe-"]:has([data-testid="stSkeleton"]) { min-height: 68px; }
.stElementContainer[class*="st-key-ask-"]:has([data-testid="stSkeleton"]) { min-height: 68px; }
.stElementContainer.st-key-ask-q.st-key-ask-q:not(.e):has([data-testid="stSkeleton"]) { min-height: 96px; }
.stElementContainer.st-key-pick-what.st-key-pick-what:not(.e):has([data-testid="stSkeleton"]) { min-height: 40px; min-width: 157px; }
.stElementContainer.st-key-pick-part.st-key-pick-part:not(.e):has([data-testid="stSkeleton"]) { min-height: 40px; min-width: 300px; }
.stElementContainer.st-key-pick-by.st-key-pick-by:not(.e):has([data-testid="stSkeleton"]) { min-height: 40px; min-width: 286px; }
[class*="st-key-twin-"] .stElementContainer:has([data-testid="stSkeleton"]) { min-height: 32px; min-width: 178px; }
[class*="st-key-compare-with"] .stElementContainer:has([data-testid="stSkeleton"]) { min-height: 32px; min-width: 135px; }
.st-key-yaml-file:has([data-testid="stSkeleton"]) { min-height: 40px; min-width: 127px; }
@media (max-width: 640px) {
  .st-key-accuracy-of .stElementContainer.st-key-pick-level.st-key-pick-level:has([data-testid="stSkeleton"]) { min-height: 112px; }
}
[class*="st-key-tile-"] .stElementContainer:has([data-testid="stSkeleton"]) { min-height: 91px; }
""" + "".join(
    f'[class*="-of-{rows}-rows"] .stElementContainer:has([data-testid="stSkeleton"]) {{ min-height: {38 + 35 * rows}px; }} '
    for rows in range(1, 31)
)
# On a telephone columns stand below each other: a running job goes before the form, and the cost stays behind it.
_JOB_FIRST = """
@media (max-width: 640px) {
  .st-key-lab-both .stColumn:has(.st-key-lab-live .stVerticalBlock),
  .st-key-lab-both .stColumn:has(.st-key-lab-live .stVerticalBlock) > .stVerticalBlock { display: contents; }
  .st-key-lab-both [data-testid="stLayoutWrapper"]:has(> .st-key-lab-live) { order: -1; }
  .st-key-lab-both .stHorizontalBlock:has(> .stColumn .st-key-lab-live .stVerticalBlock) { row-gap: 1rem; }
}
"""
# A lesson shown to a class: large type, which everything follows that is measured in it, and nothing but one screen of the step. It is as
# high as the window, so that a chart fills what words leave; the bar with the ways stands still below it. A chart's words are
# smaller than others: it is drawn smaller, and as a whole made larger.
_PRESENTING = """
html:has(.st-key-presenting) { font-size: clamp(18px, 1.6vw, 34px) !important; }
.stApp:has(.st-key-presenting) [data-testid="stHeader"], .stApp:has(.st-key-presenting) [data-testid="stSidebar"],
.stApp:has(.st-key-presenting) .st-key-page-tools { display: none; }
.stApp:has(.st-key-presenting) div.stMainBlockContainer.block-container { padding: 1rem 2.5rem 3.6rem; }
.stApp .st-key-presenting { min-height: calc(100vh - 5.6rem); gap: 0.7rem; }
.stApp .st-key-presenting h1 { font-size: 2rem; padding: 0 0 0.3rem; }
.stApp .st-key-presented-ways {
  position: fixed; inset: auto 0 0; z-index: 2; padding: 0.4rem 2.5rem; background: light-dark(#ffffff, #0f141b);
}
.stApp .st-key-presenting [data-testid="stMetricValue"] { font-size: 1.5rem; line-height: 1.2; }
.stApp .st-key-presenting [class*="st-key-learn-n-"] { padding: 0.6rem 0.8rem; gap: 0.4rem; }
[data-testid="stLayoutWrapper"]:has(> .st-key-presented-sides), .st-key-presented-sides > [data-testid="stLayoutWrapper"],
[data-testid="stLayoutWrapper"]:has(> [class*="st-key-presented-chart-"]) { flex: 1 1 auto !important; }
[class*="st-key-presented-chart-"] { position: relative; min-height: 11rem; overflow: hidden; }
.st-key-presented-chart-learn-samples { height: 14rem; }
[class*="st-key-presented-chart-"] > .stElementContainer {
  position: absolute; inset: 0 auto auto 0;
  width: calc(100% / 1.3) !important; height: calc(100% / 1.3) !important;
}
[class*="st-key-presented-chart-"] .js-plotly-plot { transform: scale(1.3); transform-origin: 0 0; }
[class*="st-key-presented-chart-"] [data-testid="stElementToolbar"] { display: none; }
.st-key-presented-chart-learn-shares .textpoint text { font-size: 0.65rem !important; }
"""
STYLE = "".join((_WIDE, _RESERVED, _EVEN, _FILLED, _OFF, _CODE, _TOOLS, _JOB_FIRST, _HEADS, _PRESENTING)).replace("\n", " ")
# A narrow window's menu stays open after a choice: Streamlit closes it on phones only, which it tells by the browser's name. A press
# beside the menu closes it everywhere.
_MENU = """
document.addEventListener("click", (event) => {
  if (event.target.closest?.('[data-testid="stSidebarNavLink"]'))
    document.querySelector('[data-testid="stMain"]')?.dispatchEvent(new MouseEvent("mousedown", { bubbles: true }))
})
"""
# What somebody does is one entry of the browser's history. Streamlit makes several: one when a page opens and one when it has settled on
# what it shows (the newest run, say), or two where a click opens another page with parameters; going back would take as many steps.
_HISTORY = """
{
  let touched = false
  for (const kind of ["pointerdown", "keydown", "click"]) addEventListener(kind, (event) => { touched ||= event.isTrusted }, true)
  addEventListener("popstate", () => { touched = false })
  const push = history.pushState
  history.pushState = function (...entry) {
    (touched ? push : history.replaceState).apply(history, entry)
    touched = false
  }
}
"""
# In presenter mode the arrow keys and Escape are shortcuts of the buttons themselves, which take one key each. Space and the two keys that
# a presenter's remote sends scroll a screen that is taller than the window, and press the same buttons at its end; Space does so only where
# it would not press what has the focus. A page that is turned begins at its top.
_TURNING = """
{
  const presents = () => document.querySelector(".st-key-presenting") && document.querySelector('[data-testid="stMain"]')
  const top = () => presents()?.scrollTo(0, 0)
  document.addEventListener("click", (event) => { if (event.target.closest?.(".st-key-learn-next, .st-key-learn-back")) top() })
  document.addEventListener("keydown", (event) => {
    const way = { " ": "next", PageDown: "next", PageUp: "back", ArrowRight: "next", ArrowLeft: "back" }[event.key]
    const typing = "input, textarea, select, [contenteditable], [role=dialog]"
    const pressed = "button, a, summary, [role=radio], [role=button]"
    const main = presents()
    if (!way || event.ctrlKey || event.metaKey || event.altKey || !main) return
    if (event.target.closest?.(event.key === " " ? typing + "," + pressed : typing)) return
    if (event.key.startsWith("Arrow")) return top()
    event.preventDefault()
    const left = way === "next" ? main.scrollHeight - main.clientHeight - main.scrollTop : main.scrollTop
    if (left > 4) main.scrollBy(0, (way === "next" ? 0.8 : -0.8) * main.clientHeight)
    else document.querySelector(`.st-key-learn-${way} button:enabled`)?.click()
  })
}
"""
# The explorer's picture: five rising bars in the level colours. Spelled out, and pages have no icons, because a named icon is fetched from
# another host.
ICON = "data:image/svg+xml," + "".join(
    ["%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 15 15'%3E"]
    + [
        f"%3Crect x='{3 * at}' y='{12 - 3 * at}' width='2.4' height='{3 + 3 * at}' fill='%23{colour}'/%3E"
        for at, colour in enumerate(("7453a6", "3f76bf", "1d9a9c", "57b05a", "c4a821"))
    ]
    + ["%3C/svg%3E"]
)
HEAD = f"<style>{STYLE}</style><script>{_MENU}{_HISTORY}{_TURNING}</script>"
