"""Who may open the explorer: the address it listens on, the token, and the middleware that closes everything else.

`access` is what was asked for at start and what a person is told about it; `entrance` remembers who came in;
`middleware` stands in front of every route of the server; `login_page` is what a stranger sees.
"""
