"""A log in PostgreSQL, for the processes that reach it.

log            the log itself: what the contract asks
within         appending in a transaction of the application's own
place          the database and the settings, from the URL
driver         asyncpg: how a connection is opened, and what its errors mean
session        one connection, opened anew when it broke
schema         the tables and functions, in numbered files of SQL
statements     what is asked of the database
batch          a batch on its way there, and what it answers
writer, lane   who appends: groups of batches, each appended once though an answer is lost
readers        who reads
follower       the connection that listens; watched, look and cursor are what it does when it is woken
durability     what is guaranteed, as the server's settings say
"""

from unbroken.logs.postgres.log import PostgresLog, from_url

__all__ = ["PostgresLog", "from_url"]
