"""Calls that hold their thread until something comes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import libcst as cst

from unbroken.diagnose.source.calls import argument, last_name, origin, own_calls
from unbroken.diagnose.source.module import SourceModule

__all__ = ["blocking_calls", "blocking_source"]

FUNCTIONS: Final = re.compile(
    r"""
    time\.sleep | input | os\.(system|wait|waitpid|popen) | select\.select
    | (requests|httpx2?|niquests)\.(get|post|put|patch|delete|head|options|request|stream)
    | urllib\.request\.(urlopen|urlretrieve) | socket\.(create_connection|getaddrinfo|gethostbyname)
    | subprocess\.(run|call|check_call|check_output|getoutput|getstatusoutput)
    | (sqlite3|psycopg2?|pymysql|MySQLdb|pyodbc|oracledb|cx_Oracle|mysql\.connector)\.connect
    | feedparser\.parse
    """,
    re.VERBOSE,
)
HTTP: Final = (
    r"(get|post|put|patch|delete|head|options|request|send|stream|iter_lines|iter_content|iter_bytes|iter_text)"
)
SQL: Final = (
    r"(execute|executemany|executescript|fetchone|fetchall|fetchmany|commit|connect|scalar|scalars|query\..*|get)"
)
REDIS: Final = r"(get|set|blpop|brpop|xread|xreadgroup|listen|get_message|publish|lrange|hget|hgetall)"
METHODS: Final = re.compile(
    rf"""
    (requests|niquests)\.(sessions\.)?(Session|get|post|request)(\.{HTTP})+ | httpx2?\.(Client|stream)(\.{HTTP})+
    | queue\.(Queue|SimpleQueue|LifoQueue|PriorityQueue)\.(get|join) | multiprocessing\.(Queue|SimpleQueue)\.get
    | threading\.(Event|Condition)\.wait | threading\.Thread\.join
    | subprocess\.Popen(\.stdout|\.stderr)?\.(wait|communicate|read|readline|readlines)
    | (sqlite3|psycopg2?|pymysql|MySQLdb|pyodbc|oracledb)\.connect(\.cursor)?\.{SQL}
    | sqlalchemy\.(orm\.)?(Session|create_engine|sessionmaker|scoped_session)(\.[a-z]+)*\.{SQL}
    | sqlmodel\.Session\.(exec|{SQL})
    | redis\.(Redis|StrictRedis|from_url)(\.[a-z]+)*\.{REDIS}
    | pymongo\.MongoClient(\..*)?\.(find|find_one|insert_one|update_one|aggregate|watch|count_documents)
    | (openai\.(OpenAI|AzureOpenAI)|anthropic\.Anthropic)\..*\.(create|stream|parse)
    | boto3\.(client|resource)\..+ | kafka\.KafkaConsumer\.poll
    | socket\.socket\.(recv|accept|connect) | serial\.Serial\.read(line)?
    """,
    re.VERBOSE,
)
SOURCES: Final = re.compile(
    r"subprocess\.Popen\.stdout|kafka\.KafkaConsumer|serial\.Serial|feedparser\.parse"
    r"|(openai\.(OpenAI|AzureOpenAI)|anthropic\.Anthropic)\..+|(requests|httpx2?)\..*iter_\w+|redis\..*\.listen"
)
"""What blocks where it is iterated."""


def blocking_calls(module: SourceModule, function: cst.FunctionDef) -> Iterator[tuple[cst.CSTNode, str]]:
    """Yield what holds the thread in `function`, in source order, with the full name of what is called."""
    awaited = {found.expression for found in module.find(cst.Await, within=function.body, own=True)}
    for call in own_calls(module, function):
        name = blocking_source(module, call) if call not in awaited else None
        if name is not None:
            yield call, name


def blocking_source(module: SourceModule, call: cst.Call) -> str | None:
    """Return the full name of the function that `call` calls, if that holds its thread."""
    called = module.called(call)
    if called is not None and FUNCTIONS.fullmatch(called):
        return called
    name = origin(module, call.func)
    if name is None or not METHODS.fullmatch(name) or _at_once(module, call):
        return None
    return name


def _at_once(module: SourceModule, call: cst.Call) -> bool:
    """Say whether a `get` is told not to wait."""
    if last_name(call) != "get":
        return False
    block = argument(call, "block", 0)
    return isinstance(block, cst.Name) and block.value == "False"


def iterated(module: SourceModule, loop: cst.For) -> str | None:
    """Return the full name of what a plain `for` iterates, if its every step holds the thread."""
    name = origin(module, loop.iter)
    return name if name is not None and SOURCES.fullmatch(name) else None
