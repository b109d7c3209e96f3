"""Texts that a page could take for something else, and the places where foreign text is shown."""

PLACES = ("markdown", "bold", "caption", "list", "badge", "expander", "metric", "text")
TEXTS = (
    "<b>bold</b><script>alert(1)</script>",
    "**x** _y_ `z` ~~a~~ ++b++ ==c==",
    "$x^2$ and $$y$$",
    ":material/home: :smile: :streamlit:",
    "[link](http://example.invalid) ![i](http://example.invalid/x.png)",
    "see http://example.invalid/x, https://example.invalid:8080/a_b*c*?x=1&y=2#z, www.example.invalid or a@example.invalid.",
    "mailto:a@example.invalid xmpp:foo@bar.invalid <https://example.invalid>",
    "a -> b <- c -- d >= e <= f ~= g <-> h",
    ":red[x] :blue-badge[y] :small[z] :help[q] :color[x]{foreground=red}",
    "# head",
    "text\n===",
    "    indented *x*",
    "\tTab *x*",
    "1. one\n2. two",
    "- a\n- b",
    "| a | b |\n|---|---|\n| 1 | 2 |",
    "> quote",
    "```\ncode\n```",
    "&lt;b&gt; &amp; &#58;",
    "[^1] foot\n\n[^1]: note",
    "---",
    "a\\*b\\",
    "<!-- c -->",
)
