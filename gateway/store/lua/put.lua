#!lua
-- Takes deliveries in, whole or not at all: every check stands before the first write, so that a full or damaged Redis
-- refuses the call and nothing of it stays. The answer is the acknowledgement.
-- More than five named keys: the delivery ids of DEDUPE_TTL_S stand in five buckets.
--
-- KEYS[1] due ZSET       ticket -> ms
-- KEYS[2] meta HASH      arrival_us, last_put_ms, writer:<name>, epoch
-- KEYS[3] counters HASH  deliveries, duplicates, changes
-- KEYS[4] dead ZSET      dead letters, for the cap
-- KEYS[5] seen SET       the bucket of now: new delivery ids
-- KEYS[6] seen SET       one bucket ago
-- KEYS[7] seen SET       two buckets ago
-- KEYS[8] seen SET       three buckets ago
-- KEYS[9] seen SET       four buckets ago
-- KEYS[10..] change STRING  one per payload, in order of the payloads; a ticket may stand more than once
-- ARGV[1] now_us (µs)    empty: Redis' time
-- ARGV[2] bucket (number) that the caller takes for now's
-- ARGV[3] bucket_s (s)   how long a bucket is
-- ARGV[4] pending_max (tickets)
-- ARGV[5] dead_max (dead letters)
-- ARGV[6] prefix (bytes) of a change key before the ticket
-- ARGV[7] last (1|0)     0: more slices of this one delivery follow, so its id is not written yet
-- ARGV[8] writer         the caller's name
-- ARGV[9] told           the number that Redis confirmed to it last: a smaller one here means that Redis lost its tail
-- ARGV[10] number        of this call; the caller gives none twice
-- ARGV[11..] per delivery: id (16 bytes or empty), number of payloads, the payloads
-- Returns one 1 (accepted) or 0 (duplicate) per delivery; or "full:<cap>"; or "bucket:<n>" when the bucket is another
local t = redis.call('TIME')
local now = tonumber(ARGV[1]) or t[1] * 1000000 + t[2]
local bucket = math.floor(now / 1000000 / tonumber(ARGV[3]))
if bucket ~= tonumber(ARGV[2]) then return 'bucket:' .. string.format('%.0f', bucket) end
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[4]) then return 'full:pending' end
if redis.call('ZCARD', KEYS[4]) >= tonumber(ARGV[5]) then return 'full:dead_letters' end
for i = 10, #KEYS do redis.call('STRLEN', KEYS[i]) end -- a key of a wrong type ends the call here
redis.call('HLEN', KEYS[3])
local asked = {}
for i = 5, 9 do if redis.call('SCARD', KEYS[i]) > 0 or i == 5 then asked[#asked + 1] = KEYS[i] end end
local meta = redis.call('HMGET', KEYS[2], 'arrival_us', 'writer:' .. ARGV[8])
local arrival, mine = tonumber(meta[1] or 0), tonumber(string.match(meta[2] or '0', '^%d+'))
local answers, changes, accepted, duplicates, at, key = {}, 0, 0, 0, 11, 10
while at < #ARGV do
  local id, n, known = ARGV[at], tonumber(ARGV[at + 1]), false
  for i = 1, id == '' and 0 or #asked do known = known or redis.call('SISMEMBER', asked[i], id) == 1 end
  for i = 1, known and 0 or n do
    local payload, change = ARGV[at + 1 + i], KEYS[key + i - 1]
    arrival = math.max(now, arrival + 1)
    redis.call('APPEND', change, struct.pack('>I4I8', #payload, arrival) .. payload)
    redis.call('ZADD', KEYS[1], 'NX', string.format('%.0f', math.floor(arrival / 1000)), change:sub(ARGV[6] + 1))
  end
  if known then duplicates = duplicates + 1 else accepted, changes = accepted + 1, changes + n end
  if not known and id ~= '' and ARGV[7] == '1' then
    redis.call('SADD', KEYS[5], id)
    redis.call('EXPIRE', KEYS[5], ARGV[3] * 5 + 60)
  end
  answers[#answers + 1], at, key = known and 0 or 1, at + 2 + n, key + n
end
local put_ms = string.format('%.0f', math.floor(now / 1000))
if mine < tonumber(ARGV[9]) then -- Redis has lost what it had confirmed: its epoch is over
  redis.call('HDEL', KEYS[2], 'epoch')
  redis.call('HSET', KEYS[2], 'lost_ms', put_ms)
end
redis.call('HSET', KEYS[2], 'writer:' .. ARGV[8], string.format('%.0f %s', math.max(mine, ARGV[10]), put_ms))
if changes > 0 then redis.call('HSET', KEYS[2], 'arrival_us', string.format('%.0f', arrival), 'last_put_ms', put_ms) end
if ARGV[7] == '1' then redis.call('HINCRBY', KEYS[3], 'deliveries', accepted) end
redis.call('HINCRBY', KEYS[3], 'changes', changes)
if duplicates > 0 then redis.call('HINCRBY', KEYS[3], 'duplicates', duplicates) end
return answers
