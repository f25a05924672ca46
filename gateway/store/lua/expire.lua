#!lua flags=allow-oom
-- Removes the oldest of what is past its age, a slice at a time, and gives what it removed, so that each is told of.
--
-- KEYS[1] index ZSET  id -> ms
-- KEYS[2] row HASH    id -> JSON
-- KEYS[3] blob HASH   id -> frames or body
-- KEYS[4] meta HASH   quarantine_bytes
-- ARGV[1] now_us (µs) empty: Redis' time
-- ARGV[2] ttl_ms (ms)
-- ARGV[3] limit       at most 1,000
-- ARGV[4] field       of meta that counts the bytes; empty: none does
-- Returns {ids and their ms in turn, rows}
local t = redis.call('TIME')
local now = math.floor((tonumber(ARGV[1]) or t[1] * 1000000 + t[2]) / 1000)
local oldest = string.format('%.0f', now - ARGV[2])
local ids = redis.call('ZRANGE', KEYS[1], '-inf', oldest, 'BYSCORE', 'LIMIT', 0, ARGV[3])
if #ids == 0 then return {{}, {}} end
local rows, aged, bytes = redis.call('HMGET', KEYS[2], unpack(ids)), {}, 0
for i, id in ipairs(ids) do
  aged[#aged + 1], aged[#aged + 2] = id, redis.call('ZSCORE', KEYS[1], id)
  bytes = bytes + #(rows[i] or '') + redis.call('HSTRLEN', KEYS[3], id)
end
if ARGV[4] ~= '' then redis.call('HINCRBY', KEYS[4], ARGV[4], string.format('%.0f', 0 - bytes)) end
redis.call('ZREM', KEYS[1], unpack(ids))
redis.call('HDEL', KEYS[2], unpack(ids))
redis.call('HDEL', KEYS[3], unpack(ids))
return {aged, rows}
