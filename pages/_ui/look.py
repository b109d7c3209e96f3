"""What the theme in .streamlit/config.toml has no option for. If a later Streamlit names its parts otherwise, a rule finds nothing."""

# Streamlit draws its first picture for a narrow page and widens it when a script says so: everything would jump to the left.
_WIDE = """
div.stMainBlockContainer.block-container { max-width: initial; }
@media (min-width: 864px) { div.stMainBlockContainer.block-container { padding-left: 5rem; padding-right: 5rem; } }
"""
# White words on the theme's own blue read at 4.5 to 1 only if that blue is too dark for words on the dark page.
_FILLED = """
.stApp button[data-testid="stBaseButton-primary"]:enabled, .stApp button[data-testid="stBaseButton-primaryFormSubmit"]:enabled,
.stApp [data-testid="stMultiSelect"] [data-tag] { background-color: #2b66b1; border-color: #2b66b1; color: #ffffff; }
.stApp button[data-testid="stBaseButton-primary"]:enabled:hover { background-color: #23549a; }
"""
_OFF = """
.stApp button:disabled, .stApp label[data-disabled="true"], .stApp input:disabled { color: light-dark(#666c74, #8e96a1); opacity: 1; }
"""
STYLE = "".join((_WIDE, _FILLED, _OFF)).replace("\n", " ")
