"""What Redis does in one step, as scripts; as those of the sessions, beside which they are.

A revision is a field, its number, of two hashes: `segue:switches:revisions` and
`segue:switches:states`; the sorted set `segue:switches:numbers` has all numbers that are kept, and
so the newest. Named values are the hash `segue:switches:values`. What replicas say is the hash
`segue:switches:replicas`, and until when, by the server's clock, the sorted set
`segue:switches:until`. What was seen in a day is a field of the hash `segue:switches:days`, the
day's number and a name with `/` between, and which there are, by day, the sorted set
`segue:switches:daynumbers`. None of the keys ends by itself. All names are made inside the scripts,
so these are for one server (with its replicas), not for a cluster.

Numbers of revisions go in and out as text, so that none is rounded on the way. What is larger than
it may be is not sent: the empty text in place of `=` and the bytes.
"""

from __future__ import annotations

from typing import Final

from proxy.control.switch_store.base import (
    KEPT,
    MAX_ANNOUNCED,
    MAX_DAY,
    MAX_DAY_ROWS,
    MAX_DAYS,
    MAX_REVISION,
    MAX_STATE,
    MAX_TTL,
    MAX_VALUE,
    MAX_VALUES,
)

CHANNEL: Final = "segue:switches"
"""On which the number of each new revision is published."""

_NAMES: Final = (
    f"""
local NUMBERS, REVISIONS = 'segue:switches:numbers', 'segue:switches:revisions'
local STATES, VALUES = 'segue:switches:states', 'segue:switches:values'
local REPLICAS, UNTIL = 'segue:switches:replicas', 'segue:switches:until'
local DAYS, DAYNUMBERS = 'segue:switches:days', 'segue:switches:daynumbers'
local MAX_DAY, MAX_DAYS, MAX_DAY_ROWS = {MAX_DAY}, {MAX_DAYS}, {MAX_DAY_ROWS}
local CHANNEL = '{CHANNEL}'
local KEPT, MAX_REVISION, MAX_STATE = {KEPT}, {MAX_REVISION}, {MAX_STATE}
local MAX_VALUE, MAX_VALUES = {MAX_VALUE}, {MAX_VALUES}
local MAX_ANNOUNCED, MAX_TTL = {MAX_ANNOUNCED}, {MAX_TTL:.0f}
"""
    """
local function newest() return redis.call('ZREVRANGE', NUMBERS, 0, 0)[1] or '0' end

local function part(key, field, most)
    if redis.call('HEXISTS', key, field) == 0 then return false end
    if redis.call('HSTRLEN', key, field) > most then return '' end
    return '=' .. redis.call('HGET', key, field)
end

-- As `base.tag_of` has it.
local function tag(number)
    local written = part(REVISIONS, number, MAX_REVISION)
    if not written or written == '' then return '' end
    return redis.sha1hex(string.sub(written, 2))
end

local function whole(number)
    return {number, part(REVISIONS, number, MAX_REVISION), part(STATES, number, MAX_STATE)}
end

local function now()
    local time = redis.call('TIME')
    return tonumber(time[1]) + tonumber(time[2]) / 1000000
end

local function text(moment) return string.format('%.6f', moment) end
"""
)

NUMBER: Final = _NAMES + "return newest()"

NEWEST: Final = _NAMES + "local number = newest() return {number, tag(number)}"
"""The number and the tag of the newest revision; `0` and nothing where there is none."""

LOAD: Final = (
    _NAMES
    + """
local number = newest()
if number == '0' then return false end
return whole(number)
"""
)
"""Number, revision and state; nothing where there is none."""

REVISION: Final = (
    _NAMES
    + """
if redis.call('ZSCORE', NUMBERS, ARGV[1]) == false then return false end
return whole(ARGV[1])
"""
)
"""A number; the same as of `LOAD`."""

APPEND: Final = (
    _NAMES
    + """
local before, number = ARGV[1], ARGV[2]
if newest() ~= before then return 0 end
if ARGV[5] ~= '' and ARGV[5] ~= tag(before) then return 0 end
redis.call('HSET', REVISIONS, number, ARGV[3])
redis.call('HSET', STATES, number, ARGV[4])
redis.call('ZADD', NUMBERS, number, number)
local over = redis.call('ZRANGE', NUMBERS, 0, -KEPT - 1)
if #over > 0 then
    redis.call('HDEL', REVISIONS, unpack(over))
    redis.call('HDEL', STATES, unpack(over))
    redis.call('ZREM', NUMBERS, unpack(over))
end
redis.call('PUBLISH', CHANNEL, number)
return 1
"""
)
"""The number before, the new one, revision, state, and the tag of the one before, or nothing for
any; 1 where it has been appended."""

REVISIONS: Final = (
    _NAMES
    + """
local found = {}
local numbers = redis.call('ZREVRANGEBYSCORE', NUMBERS, ARGV[1], '-inf', 'LIMIT', 0, ARGV[2])
for _, number in ipairs(numbers) do found[#found + 1] = part(REVISIONS, number, MAX_REVISION) end
return found
"""
)
"""`+inf`, or `(` and a number, and how many."""

VALUE: Final = _NAMES + "return part(VALUES, ARGV[1], MAX_VALUE)"

REPLACE: Final = (
    _NAMES
    + """
local name, expected, new = ARGV[1], ARGV[2], ARGV[3]
local old = part(VALUES, name, MAX_VALUE)
if old == '' then return -2 end
if (old or '') ~= expected then return 0 end
if new == '' then
    redis.call('HDEL', VALUES, name)
    return 1
end
if not old and redis.call('HLEN', VALUES) >= MAX_VALUES then return -1 end
redis.call('HSET', VALUES, name, string.sub(new, 2))
return 1
"""
)
"""Name, what is expected and what is new, each `=` and the bytes, or empty for what is missing; 1
where it has been replaced, 0 where something else is there, -1 where there is no room, -2 where it
cannot be read."""

ANNOUNCE: Final = (
    _NAMES
    + """
local replica, document, ttl = ARGV[1], ARGV[2], tonumber(ARGV[3])
local moment = now()
local function forget(over)
    for _, each in ipairs(over) do
        redis.call('HDEL', REPLICAS, each)
        redis.call('ZREM', UNTIL, each)
    end
end
forget(redis.call('ZRANGEBYSCORE', UNTIL, '-inf', text(moment), 'LIMIT', 0, MAX_ANNOUNCED))
redis.call('HSET', REPLICAS, replica, document)
redis.call('ZADD', UNTIL, text(moment + ttl), replica)
local many = redis.call('ZCARD', UNTIL) - MAX_ANNOUNCED
if many > 0 then forget(redis.call('ZRANGE', UNTIL, 0, math.min(many, MAX_ANNOUNCED) - 1)) end
return 1
"""
)
"""Replica, document, seconds."""

ANNOUNCED: Final = (
    _NAMES
    + """
local moment, found = now(), {}
-- What ends later than anything can was said before the clock was set back.
local replicas = redis.call('ZRANGEBYSCORE', UNTIL, '(' .. text(moment), text(moment + MAX_TTL),
    'LIMIT', 0, MAX_ANNOUNCED)
for _, replica in ipairs(replicas) do
    found[#found + 1] = {replica, part(REPLICAS, replica, MAX_VALUE)}
end
return found
"""
)
"""Pairs of replica and document."""

WRITE_DAY: Final = (
    _NAMES
    + """
local number, member = ARGV[1], ARGV[1] .. '/' .. ARGV[2]
local is_new = redis.call('HEXISTS', DAYS, member) == 0
if is_new then
    if ARGV[4] == '1' then return 0 end
    if redis.call('HLEN', DAYS) >= MAX_DAY_ROWS then return -1 end
end
redis.call('HSET', DAYS, member, ARGV[3])
redis.call('ZADD', DAYNUMBERS, number, member)
if is_new then
    local found, count, before = redis.call('ZREVRANGE', DAYNUMBERS, 0, -1), 0, ''
    for _, each in ipairs(found) do
        local day = string.match(each, '^%d+')
        if day ~= before then count, before = count + 1, day end
        if count > MAX_DAYS then
            redis.call('HDEL', DAYS, each)
            redis.call('ZREM', DAYNUMBERS, each)
        end
    end
end
return 1
"""
)
"""Number, name, document, and 1 where something has to be there; 1 where it is kept, 0 where
nothing was there, -1 where there is no room."""

DAYS: Final = (
    _NAMES
    + """
local found = {}
local members = redis.call('ZRANGEBYSCORE', DAYNUMBERS, ARGV[1], ARGV[2], 'LIMIT', 0, MAX_DAY_ROWS)
for _, each in ipairs(members) do found[#found + 1] = {each, part(DAYS, each, MAX_DAY) or ''} end
return found
"""
)
"""The first and the last number; pairs of the number and the name, with `/` between, and `=` and
the document."""

FOLD_DAYS: Final = (
    _NAMES
    + """
local into, known = ARGV[1] .. '/' .. ARGV[2], false
for at = 4, #ARGV, 3 do
    local each = ARGV[at] .. '/' .. ARGV[at + 1]
    local kept = part(DAYS, each, MAX_DAY)
    if not kept or kept == '' then return 0 end
    if redis.sha1hex(string.sub(kept, 2)) ~= ARGV[at + 2] then return 0 end
    known = known or each == into
end
if not known and redis.call('HEXISTS', DAYS, into) == 1 then return 0 end
for at = 4, #ARGV, 3 do
    local each = ARGV[at] .. '/' .. ARGV[at + 1]
    redis.call('HDEL', DAYS, each)
    redis.call('ZREM', DAYNUMBERS, each)
end
redis.call('HSET', DAYS, into, ARGV[3])
redis.call('ZADD', DAYNUMBERS, ARGV[1], into)
return 1
"""
)
"""Number, name and document of the sum, and number, name and tag of each that it stands for; 1
where it was done."""
