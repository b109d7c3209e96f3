"""Parsers of the commands that keep the house: the app, fetched and exported models, background jobs, the results on disk."""

from __future__ import annotations

import argparse

from sftqa_core.cli.values import DEVICES, port
from sftqa_core.records import MOVES


# ---- app ----
def add_app(parser: argparse.ArgumentParser) -> None:
    """`sftqa app`."""
    parser.add_argument("--port", type=port, default=8501)
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on; the default is reachable from this machine only (and by ssh -L)"
    )
    parser.add_argument("--share", action="store_true", help="let other machines in on --host, after a login")
    login = "ask everyone for the token in SFTQA_TOKEN (with --share the default), or for your organisation's login ([auth] of Streamlit)"
    parser.add_argument("--login", choices=("token", "streamlit"), help=login)
    parser.add_argument("--no-browser", action="store_true", help="do not open a browser window")


# ---- models ----
def add_models(parser: argparse.ArgumentParser) -> None:
    """`sftqa models`."""
    change = parser.add_mutually_exclusive_group()
    change.add_argument("--add", metavar="NAME", help="put a hub id (owner/name) or a folder on the lists; nothing is fetched")
    change.add_argument("--remove", metavar="NAME", help="take an added one off the lists; its files stay")
    parser.add_argument("--device", default="auto", help=f"whose memory is told, here or not: {DEVICES}")


# ---- fetch ----
def add_fetch(parser: argparse.ArgumentParser) -> None:
    """`sftqa fetch NAME`."""
    parser.add_argument("name", help="owner/name, or owner/name@revision with a branch, a tag or a commit of 40 digits")


# ---- export ----
def add_export(parser: argparse.ArgumentParser) -> None:
    """`sftqa export RUN`."""
    parser.add_argument("run", help="a run's name, as 'sftqa runs' lists it")
    parser.add_argument("--out", required=True, metavar="FOLDER", help="folder to write; it must not exist")
    parser.add_argument("--merge", action="store_true", help="of LoRA: the adapter merged into its model (in float32), a model of its own")


# ---- jobs ----
def add_jobs(parser: argparse.ArgumentParser) -> None:
    """`sftqa jobs [ACTION ID]`."""
    told = "cancel: out of the queue, or stop; resume: queue what failed or was cancelled again, to go on; log: its output; "
    told += "first, up, down, last: move it in the queue; empty: cancel all that wait (needs no ID)"
    parser.add_argument("action", nargs="?", choices=("cancel", "resume", "log", *MOVES, "empty"), help=told)
    parser.add_argument("id", nargs="?", metavar="ID", help="a job's name, as 'sftqa jobs' lists it")


# ---- cache ----
def add_cache(parser: argparse.ArgumentParser) -> None:
    """`sftqa cache ls | verify | gc`."""
    parser.add_argument("action", choices=("ls", "verify", "gc"), help="what is there; is it whole; what can go")
    parser.add_argument("--set-aside", action="store_true", help="verify: rename what is damaged, so that it is made again")
    parser.add_argument("--yes", action="store_true", help="gc: really remove what it would only list")
