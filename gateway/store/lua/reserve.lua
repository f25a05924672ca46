#!lua flags=allow-oom
-- Reserves calls to Planhat in a sliding minute (and a second of guard, for clocks that differ). A reservation is never
-- given back. A pause, a stop or a hold makes callers wait; a probe goes through a stop, through nothing else, and
-- moves the next probe on.
--
-- KEYS[1] calls ZSET        id -> ms, the last minute
-- KEYS[2] calls:delete ZSET id -> ms, those for deletes
-- KEYS[3] pause HASH        until_ms, stopped, held, probe_at_ms
-- KEYS[4] meta HASH         epoch, full_until_ms
-- ARGV[1] now_us (µs)       empty: Redis' time
-- ARGV[2] kind              call, delete or probe
-- ARGV[3] calls             how many are wanted, at most ARGV[4]
-- ARGV[4] limit (calls a minute)
-- ARGV[5] share (calls a minute) that deletes may take
-- ARGV[6] id                unique to this reservation: a client's retry takes nothing more
-- ARGV[7] epoch             as the caller knows it; empty: it knows none
-- Returns 0 (reserved) or the wait (ms); "epoch" when Redis has lost its memory meanwhile
local t = redis.call('TIME')
local now = math.floor((tonumber(ARGV[1]) or t[1] * 1000000 + t[2]) / 1000)
local meta = redis.call('HMGET', KEYS[4], 'epoch', 'full_until_ms')
if ARGV[7] ~= '' and meta[1] ~= ARGV[7] then return 'epoch' end
local pause = redis.call('HMGET', KEYS[3], 'until_ms', 'stopped', 'held')
local wait = math.max(0, (pause[1] or 0) - now, (meta[2] or 0) - now)
if pause[3] or (pause[2] and ARGV[2] ~= 'probe') then wait = math.max(wait, 1000) end
local n, kinds = tonumber(ARGV[3]), {[KEYS[1]] = tonumber(ARGV[4])}
if ARGV[2] == 'delete' then kinds[KEYS[2]] = tonumber(ARGV[5]) end
for key, limit in pairs(kinds) do
  redis.call('ZREMRANGEBYSCORE', key, '-inf', string.format('%.0f', now - 61000))
  local over = redis.call('ZCARD', key) + n - limit
  if over > 0 and not redis.call('ZSCORE', key, ARGV[6] .. ':1') then
    local last = redis.call('ZRANGE', key, over - 1, over - 1, 'WITHSCORES')[2]
    wait = math.max(wait, last + 61000 - now)
  end
end
if wait > 0 then return math.ceil(wait) end
if pause[2] then redis.call('HSET', KEYS[3], 'probe_at_ms', string.format('%.0f', now + 60000)) end
for key in pairs(kinds) do
  for i = 1, n do redis.call('ZADD', key, 'NX', string.format('%.0f', now), ARGV[6] .. ':' .. i) end
end
return 0
