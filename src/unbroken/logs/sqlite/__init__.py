"""A log in a file of SQLite, for the processes of one machine.

log            the log itself: what the contract asks, on the event loop
place          the file and its settings, from the URL; what its errors mean
schema         the tables, and how a connection is opened
writer         the one thread that writes: groups of appends, each group a transaction
transaction    what is done in a transaction
following      what other processes have appended
reading        pages, in a few threads
"""

from unbroken.logs.sqlite.log import SQLiteLog, from_url

__all__ = ["SQLiteLog", "from_url"]
