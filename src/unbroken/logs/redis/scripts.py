"""What the engine does in one step. Nothing else runs there meanwhile, so each step is bounded.

Lua counts in doubles: exact up to 2^53, which no `seq`, no microsecond and no size comes near; a fence may, so it is
compared as text of fixed width. `#!lua` asks for Redis 7: when memory is full, a script that may write is refused
*before* it begins, unless it has `allow-oom`. What an ACL does not permit fails in the middle, and what was written
stays: so keys are read before the first write, and it is published before that, too. Nobody sees either until the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha1

__all__ = ["APPEND", "MAKE", "READ", "TRIM", "Script", "fence_text"]

Arg = bytes | str | int


class Script:
    """A script, and the commands that run it."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._sha = sha1(text.encode(), usedforsecurity=False).hexdigest()

    def by_name(self, keys: Sequence[bytes], *args: Arg) -> tuple[Arg, ...]:
        """Return the command that names it: the engine forgets scripts when it restarts, and then says so."""
        return ("EVALSHA", self._sha, len(keys), *keys, *args)

    def in_full(self, command: Sequence[Arg]) -> tuple[Arg, ...]:
        """Return the command that brings it along."""
        return ("EVAL", self._text, *command[2:])


def fence_text(fence: int | None) -> str:
    """Return a fence as twenty digits, which compare as the number does."""
    return "" if fence is None else f"{fence + 2**63:020d}"


_NOW = """
local function text(number) return string.format('%.0f', number) end
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
"""

_BORN = """
local function born(epoch, name)
  -- What is left of a life whose state was lost must not be taken for one of this.
  redis.call('UNLINK', KEYS[2], KEYS[3], KEYS[4])
  redis.call('HSET', KEYS[1], 'epoch', epoch, 'seq', '0', 'tag', '', 'bytes', '0', 'idle', text(now))
  redis.call('SADD', KEYS[5], name)
end
"""

APPEND = Script(
    "#!lua\n"
    + _NOW
    + _BORN
    + """
local key, fence, close, publish, channel = ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7]
local state = redis.call('HMGET', KEYS[1], 'epoch', 'seq', 'tag', 'bytes', 'closed', 'fence')
local epoch, seq, tag, size = state[1], tonumber(state[2]), state[3], tonumber(state[4])
if epoch then
  local use = key ~= '' and redis.call('HGET', KEYS[3], key)
  if use then
    local first, last = string.match(use, '^(%d+):(%d+):')
    local rows = {}
    if tonumber(first) <= tonumber(last) then
      rows = redis.call('XRANGE', KEYS[2], first .. '-0', last .. '-0')
    end
    -- A write that changes nothing: without one, WAIT would not wait for what the first append wrote.
    redis.call('HSET', KEYS[1], 'epoch', epoch)
    return {epoch, use, rows}
  end
  if state[5] then return 'closed' end
  if fence ~= '' and state[6] and fence < state[6] then return 'fenced:' .. state[6] end
else
  epoch, seq, tag, size = ARGV[1], 0, '', 0
end
-- The entries are gone, and we did not drop them: someone else did.
if redis.call('XLEN', KEYS[2]) == 0 then size = 0 end

local first, previous, stamp, entries = seq + 1, tag, text(now), {}
local told, length = {epoch, ':', text(first), ':', close, ':'}, 0
for at = 8, #ARGV, 2 do
  local entry = ARGV[at] .. ':' .. tag .. ':' .. stamp .. ':' .. ARGV[at + 1]
  seq, tag, size = seq + 1, ARGV[at], size + #ARGV[at + 1]
  entries[#entries + 1] = entry
  length = length + #entry
  if length <= 32768 then
    told[#told + 1] = #entry
    told[#told + 1] = ':'
    told[#told + 1] = entry
  end
end
if length > 32768 then told = {epoch, ':', text(first), ':', close, ':-'} end
redis.call(publish, channel, table.concat(told))

if not state[1] then born(epoch, ARGV[2]) end
for at, entry in ipairs(entries) do
  redis.call('XADD', KEYS[2], text(first + at - 1) .. '-0', 'e', entry)
end
redis.call('HSET', KEYS[1], 'seq', text(seq), 'tag', tag, 'bytes', text(size), 'idle', stamp)
redis.call('SADD', KEYS[5], ARGV[2])
if close == '1' then redis.call('HSET', KEYS[1], 'closed', '1') end
if fence ~= '' then redis.call('HSET', KEYS[1], 'fence', fence) end
if key ~= '' then
  redis.call('HSET', KEYS[3], key, text(first) .. ':' .. text(seq) .. ':' .. tag .. ':' .. ARGV[1])
  redis.call('ZADD', KEYS[4], stamp, key)
end
return epoch .. ':' .. text(seq) .. ':' .. previous .. ':' .. stamp
"""
)
"""Keys as in `TopicKeys`. A candidate for the epoch, the topic's name, `=` and the key or nothing, the fence or
nothing, 0 or 1 for close, how and where to publish; then for each entry its tag and its payload.

It returns a text for what was appended; `closed` or `fenced:…`; or a list for a key that was used.
"""

MAKE = Script(
    "#!lua\n"
    + _NOW
    + _BORN
    + """
if redis.call('HEXISTS', KEYS[1], 'epoch') == 0 then born(ARGV[1], ARGV[2]) end
return 1
"""
)
"""A candidate for the epoch, and the topic's name."""

READ = Script(
    """#!lua flags=no-writes
local state = redis.call('HMGET', KEYS[1], 'epoch', 'seq', 'tag', 'closed')
if not state[1] then return false end
local kept, left, room = redis.call('XLEN', KEYS[2]), tonumber(ARGV[2]), tonumber(ARGV[3])
local out = {state[1], state[2], state[3], state[4] or '0', tostring(kept), '0'}
local from, size, count = '(' .. ARGV[1] .. '-0', 0, 0.5
while left > 0 and room > 0 and kept > 0 do
  -- What is read beyond the page is thrown away: so one at first, and never many large ones at once.
  count = math.max(1, math.min(left, 32, count * 2, math.ceil(room / (size + 64))))
  local rows = redis.call('XRANGE', KEYS[2], from, '+', 'COUNT', count)
  if #rows == 0 then break end
  if #out == 6 then out[6] = string.match(rows[1][1], '^%d+') end
  for _, row in ipairs(rows) do
    out[#out + 1] = row[2][2]
    left, room, size = left - 1, room - #row[2][2], #row[2][2]
    if room <= 0 then break end
  end
  if #rows < count then break end
  from = '(' .. rows[#rows][1]
end
return out
"""
)
"""Above which `seq`, how many at most, and after how many bytes the page ends. Without the topic it returns nothing."""

TRIM = Script(
    "#!lua flags=allow-oom\n"
    + _NOW
    + """
local events, age, bytes = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local key_age, forget, most, room = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local state = redis.call('HMGET', KEYS[1], 'epoch', 'bytes', 'idle')
if not state[1] then return {0, 0, 0} end
local kept, size, idle = redis.call('XLEN', KEYS[2]), tonumber(state[2]), tonumber(state[3])

-- The entries are gone, and we did not drop them: someone else did.
if kept == 0 and size > 0 then redis.call('HSET', KEYS[1], 'bytes', '0') end
local gone, last, from, more, count = 0, nil, '-', kept > 0, 1
while more and gone < most and room > 0 do
  local rows = redis.call('XRANGE', KEYS[2], from, '+', 'COUNT', count)
  count = math.min(16, count * 2)
  if #rows == 0 then more = false end
  for _, row in ipairs(rows) do
    local stamp, start = string.match(row[2][2], '^[^:]*:[^:]*:(%d+):()')
    more = (events and kept - gone > events) or (age and tonumber(stamp) < now - age)
      or (bytes and kept - gone > 1 and size > bytes) or false
    if not more or gone == most then break end
    gone, last, size, room = gone + 1, row[1], size - (#row[2][2] - start + 1), room - #row[2][2]
  end
  from = last and '(' .. last
end
if gone > 0 then
  redis.call('XTRIM', KEYS[2], 'MINID', '=', text(tonumber(string.match(last, '^%d+')) + 1) .. '-0')
  if gone == kept then idle = now end
  redis.call('HSET', KEYS[1], 'bytes', text(size), 'idle', text(idle))
end

local old = redis.call('ZRANGEBYSCORE', KEYS[4], '-inf', '(' .. text(now - key_age), 'LIMIT', 0, most)
if #old > 0 then
  redis.call('HDEL', KEYS[3], unpack(old))
  redis.call('ZREM', KEYS[4], unpack(old))
end
if more or #old == most then return {gone, 1, 0} end
-- Keys of which nobody knows how old they are would never go.
if #redis.call('ZRANGEBYSCORE', KEYS[4], '-inf', '+inf', 'LIMIT', 0, 1) == 0 then redis.call('UNLINK', KEYS[3]) end

if not forget or idle >= now - forget or gone < kept or redis.call('HLEN', KEYS[3]) > 0 then return {gone, 0, 0} end
redis.call(ARGV[9], ARGV[10], state[1] .. ':0:0:-')
redis.call('UNLINK', KEYS[1], KEYS[2], KEYS[3], KEYS[4])
redis.call('SREM', KEYS[5], ARGV[8])
return {gone, 0, 1}
"""
)
"""The bounds, nothing for none, times in microseconds; how many entries and bytes a step looks at; the topic's name,
how and where to publish. It returns how many went, whether there may be more, and whether the topic was forgotten."""
