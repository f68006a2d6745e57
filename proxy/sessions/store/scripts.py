"""What Redis does in one step, as scripts. Redis runs one at a time, and each whole or not at all.

A session is the hash `segue:session:<session>`. Beside it are indexes: the hash of all handles
(`segue:handles`: digest to session), and sorted sets of the sessions that are open
(`segue:open`, and `segue:user:<user>` for each user; ordered by name), of all that are kept
(`segue:kept`; ordered by `purge_after`), and of closed ones that may give way (`segue:evictable`,
and `segue:evictable:<user>`; ordered by which go first, then by when they were closed). Of a
session, `ended` says since when it is closed, and `final` whether somebody has ended it. None of
the keys ends by itself: what is over is purged whole. All names are made inside the scripts, so
these are for one server (with its replicas), not for a cluster.

Numbers go in and out as text, so that none is rounded on the way.
"""

from __future__ import annotations

from typing import Final

_NAMES: Final = """
local function session_key(session) return 'segue:session:' .. session end
local function user_key(user) return 'segue:user:' .. user end
local function evictable_key(user) return 'segue:evictable:' .. user end
local HANDLES, OPEN, KEPT = 'segue:handles', 'segue:open', 'segue:kept'
local EVICTABLE = 'segue:evictable'

local function read(session)
    return redis.call('HMGET', session_key(session),
        'body', 'revision', 'ended', 'used', 'version', 'cohort')
end

local function now()
    local time = redis.call('TIME')
    return tonumber(time[1]) + tonumber(time[2]) / 1000000
end

-- A digest is 32 bytes; a session's are kept one after the other.
local function forget_handles(session, digests, still)
    for first = 1, #digests, 32 do
        local digest = string.sub(digests, first, first + 31)
        if not still[digest] and redis.call('HGET', HANDLES, digest) == session then
            redis.call('HDEL', HANDLES, digest)
        end
    end
end

local function remove(session)
    local key = session_key(session)
    local old = redis.call('HMGET', key, 'digests', 'user')
    if old[1] then
        forget_handles(session, old[1], {})
        redis.call('ZREM', user_key(old[2]), session)
        redis.call('ZREM', evictable_key(old[2]), session)
    end
    redis.call('ZREM', EVICTABLE, session)
    redis.call('ZREM', OPEN, session)
    redis.call('ZREM', KEPT, session)
    redis.call('DEL', key)
end
"""

FIND: Final = (
    _NAMES
    + """
for _, digest in ipairs(ARGV) do
    local session = redis.call('HGET', HANDLES, digest)
    if session then return read(session) end
end
return false
"""
)
"""Digests; the fields of the session that the first known one leads to."""

SAVE: Final = (
    _NAMES
    + """
local session, revision, fence, limit = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local user, version, cohort, used = ARGV[5], ARGV[6], ARGV[7], ARGV[8]
local ended, purge_after, body, digests = ARGV[9], ARGV[10], ARGV[11], ARGV[12]
local keep, final, host = ARGV[13], ARGV[14], ARGV[15]
local key = session_key(session)
local old = redis.call('HMGET', key,
    'revision', 'ended', 'used', 'version', 'cohort', 'fence', 'digests', 'user', 'final')
if old[1] then
    -- Of before there was `final`, every closed session has ended.
    local was_final = old[9] == '1' or (not old[9] and old[2] ~= '')
    if old[1] ~= revision then return {0} end
    if was_final and final == '' then return {0} end
    if fence ~= '' and tonumber(old[6]) > tonumber(fence) then return {0} end
    if was_final then ended = old[2] end
    if tonumber(old[3]) > tonumber(used) then used, version, cohort = old[3], old[4], old[5] end
else
    if revision ~= '0' then return {0} end
    limit = tonumber(limit)
    local open, kept = redis.call('ZCARD', OPEN), redis.call('ZCARD', KEPT)
    if ended == '' and open >= limit then return {-1} end
    if kept - open >= limit then
        if ended ~= '' and keep ~= '' then return {-1} end
        local oldest = nil
        if user ~= '' then oldest = redis.call('ZRANGE', evictable_key(user), 0, 0)[1] end
        oldest = oldest or redis.call('ZRANGE', EVICTABLE, 0, 0)[1]
        if oldest then remove(oldest) elseif kept >= 2 * limit then return {-1} end
    end
    redis.call('HSET', key, 'fence', '0', 'owner', '', 'held_from', '0', 'held_until', '0')
end
revision = string.format('%.0f', tonumber(revision) + 1)
redis.call('HSET', key, 'revision', revision, 'user', user, 'version', version,
    'cohort', cohort, 'used', used, 'ended', ended, 'body', body, 'digests', digests,
    'final', final, 'host', host)
redis.call('ZADD', KEPT, purge_after, session)
if old[1] and (old[8] ~= user or ended ~= '' or old[2] ~= '') then
    redis.call('ZREM', user_key(old[8]), session)
    redis.call('ZREM', evictable_key(old[8]), session)
    redis.call('ZREM', EVICTABLE, session)
end
if ended ~= '' and keep ~= '' then
    -- Those that are kept longer come behind all others, whenever they ended.
    local score = string.format('%.4f', tonumber(ended) + tonumber(keep) * 100000000000)
    redis.call('ZADD', EVICTABLE, score, session)
    redis.call('ZADD', evictable_key(user), score, session)
end
if ended == '' then
    redis.call('ZADD', OPEN, 0, session)
    redis.call('ZADD', user_key(user), 0, session)
else
    redis.call('ZREM', OPEN, session)
end
local still, index = {}, {}
for first = 1, #digests, 32 do
    local digest = string.sub(digests, first, first + 31)
    still[digest] = true
    index[#index + 1] = digest
    index[#index + 1] = session
end
for first = 1, #index, 1000 do
    redis.call('HSET', HANDLES, unpack(index, first, math.min(first + 999, #index)))
end
if old[1] then forget_handles(session, old[7], still) end
return {1, revision, ended, used, version, cohort}
"""
)
"""1 and what is stored now; 0 where something else is stored already, -1 where there is no room."""

TOUCH: Final = (
    _NAMES
    + """
local key, used = session_key(ARGV[1]), ARGV[2]
local old = redis.call('HMGET', key, 'ended', 'used')
if old[1] == '' and tonumber(old[2]) < tonumber(used) then
    redis.call('HSET', key, 'used', used, 'version', ARGV[3], 'cohort', ARGV[4])
end
return 1
"""
)

_LEASE: Final = (
    _NAMES
    + """
local key, owner = session_key(ARGV[1]), ARGV[2]
local old = redis.call('HMGET', key, 'fence', 'owner', 'held_from', 'held_until')
local moment = now()
-- Where the clock was set back behind its beginning, a lease counts as ended.
local held = old[1] and old[2] ~= '' and
    tonumber(old[3]) <= moment and moment < tonumber(old[4])
local function hold(seconds)
    redis.call('HSET', key, 'owner', owner, 'held_from', string.format('%.6f', moment),
        'held_until', string.format('%.6f', moment + tonumber(seconds)))
end
"""
)

ACQUIRE: Final = (
    _LEASE
    + """
if not old[1] or (held and old[2] ~= owner) then return false end
local fence = string.format('%.0f', math.max(tonumber(old[1]) + 1, math.floor(moment * 1000000)))
redis.call('HSET', key, 'fence', fence)
hold(ARGV[3])
return fence
"""
)
"""The fencing number; nothing where the lease is another's, or the session unknown."""

EXTEND: Final = (
    _LEASE
    + """
if not held or old[2] ~= owner then return 0 end
hold(ARGV[3])
return 1
"""
)

RELEASE: Final = (
    _LEASE
    + """
if old[1] and old[2] == owner then redis.call('HSET', key, 'owner', '') end
return 1
"""
)

SESSIONS: Final = (
    _NAMES
    + """
local index, after, limit = OPEN, ARGV[1], ARGV[2]
if #ARGV == 3 then index = user_key(ARGV[3]) end
local from = '-'
if after ~= '' then from = '(' .. after end
local found = {}
for _, session in ipairs(redis.call('ZRANGEBYLEX', index, from, '+', 'LIMIT', 0, limit)) do
    found[#found + 1] = {session, read(session)}
end
return found
"""
)

USES: Final = (
    _NAMES
    + """
local found = {}
for _, session in ipairs(redis.call('ZRANGE', user_key(ARGV[1]), 0, ARGV[2] - 1)) do
    local one = redis.call('HMGET', session_key(session), 'used', 'host')
    found[#found + 1] = {session, one[1], one[2] or ''}
end
return found
"""
)
"""Each of the first sessions of a user, when it was used, and its host."""

COUNT: Final = _NAMES + "return redis.call('ZCARD', OPEN)"

LOAD: Final = _NAMES + "return read(ARGV[1])"

PURGE: Final = (
    _NAMES
    + """
local over = redis.call('ZRANGEBYSCORE', KEPT, '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])
for _, session in ipairs(over) do remove(session) end
return #over
"""
)
"""The number of sessions that were removed: one batch of those that are over."""

WRITABLE: Final = """
redis.call('HSET', 'segue:writable', 'tried', 1)
redis.call('DEL', 'segue:writable')
return 1
"""
"""Nothing; fails where nothing can be written."""
