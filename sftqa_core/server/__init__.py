"""Who may open the explorer: the address it listens on, the token, and the middleware that closes everything else.

`access` is what was asked for at start, what is printed about it, and who has logged in; `middleware` stands in front of every route
and shows the login; `ending` lets a server that was told to stop end soon.
"""
